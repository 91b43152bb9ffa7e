"""`python -m meshport`."""

from meshport.cli import main

if __name__ == "__main__":
    main()
