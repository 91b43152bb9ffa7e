// Reads so many shipments, shows each as a line of JSON, and publishes them again.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.org/interop/client"
)

var enough = errors.New("enough")

func run(ctx context.Context, url string, count int) error {
	port, err := client.Open(ctx, client.Registry{URL: url})
	if err != nil {
		return err
	}
	kafka, err := port.Client(kgo.ConsumeTopics(port.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer kafka.Close()
	var records []*client.Shipment
	out := json.NewEncoder(os.Stdout)
	err = port.Subscribe(ctx, kafka, func(event *client.Event) error {
		records = append(records, event.Data)
		if err := out.Encode(map[string]any{
			"id": event.ID, "source": event.Source, "type": event.Type, "key": string(event.Key),
			"partition": event.Partition, "offset": event.Offset, "customer": event.Data.Customer,
			"price": event.Data.Price.FloatString(2), "due": event.Data.Due.Format("2006-01-02"),
		}); err != nil {
			return err
		}
		if len(records) == count {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		return err
	}
	if err := port.Publish(ctx, kafka, records...); err != nil {
		return err
	}
	fmt.Println("reading on")
	var replaced *client.GenerationReplacedError
	if err := port.Subscribe(ctx, kafka, func(*client.Event) error { return nil }); !errors.As(err, &replaced) {
		return err
	}
	fmt.Println(replaced)
	return nil
}

func main() {
	count, err := strconv.Atoi(os.Args[2])
	if err == nil {
		err = run(context.Background(), os.Args[1], count)
	}
	if err != nil {
		panic(err)
	}
}
