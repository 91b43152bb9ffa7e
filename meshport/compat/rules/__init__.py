"""What each rule looks for, by what it looks at."""
