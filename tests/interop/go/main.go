// A program of another house: it reads and writes a topic and talks to the registry with Go's usual clients, and knows
// nothing of Meshport.
//
//	interop read     BROKERS REGISTRY TOPIC COUNT
//	interop write    BROKERS REGISTRY TOPIC EVENT_TYPE   < orders.jsonl
//	interop registry REGISTRY SUBJECT CONTRACT
//
// stdout is one JSON object a line.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	out := json.NewEncoder(os.Stdout)
	switch {
	case len(args) == 5 && args[0] == "read":
		count, err := strconv.Atoi(args[4])
		if err != nil {
			return err
		}
		return read(ctx, out, args[1], args[2], args[3], count)
	case len(args) == 5 && args[0] == "write":
		return write(ctx, os.Stdin, args[1], args[2], args[3], args[4])
	case len(args) == 4 && args[0] == "registry":
		return registry(ctx, out, args[1], args[2], args[3])
	}
	return errors.New("usage: interop read|write|registry ...")
}
