// Reads a compose file with the Compose specification's own loader, every profile included, and writes the whole as JSON.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	options, err := cli.NewProjectOptions(os.Args[1:], cli.WithProfiles([]string{"*"}))
	if err == nil {
		var project, failed = options.LoadProject(context.Background())
		if err = failed; err == nil {
			var text, failed = project.MarshalJSON()
			if err = failed; err == nil {
				fmt.Println(string(text))
				return
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
