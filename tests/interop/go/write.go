package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// order is the record of the topic, as its schema says.
type order struct {
	OrderID  string    `avro:"order_id" json:"order_id"`
	Customer string    `avro:"customer" json:"customer"`
	Status   string    `avro:"status" json:"status"`
	Note     *string   `avro:"note" json:"note"`
	PlacedAt time.Time `avro:"placed_at" json:"placed_at"`
	Tags     []string  `avro:"tags" json:"tags"`
	Amount   *big.Rat  `avro:"amount" json:"amount"`
	Quantity int       `avro:"quantity" json:"quantity"`
	Weight   float64   `avro:"weight" json:"weight"`
	Express  bool      `avro:"express" json:"express"`
}

// write sends orders as CloudEvents in binary mode, Avro in Confluent's wire format under the topic's latest schema.
func write(ctx context.Context, in io.Reader, brokers, url, topic, eventType string) error {
	registry, err := sr.NewClient(sr.URLs(url))
	if err != nil {
		return err
	}
	latest, err := registry.SchemaByVersion(ctx, topic+"-value", -1)
	if err != nil {
		return err
	}
	schema, err := avro.Parse(latest.Schema.Schema)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.DefaultProduceTopic(topic))
	if err != nil {
		return err
	}
	defer client.Close()
	for lines := json.NewDecoder(in); ; {
		var one order
		if err := lines.Decode(&one); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var framing sr.ConfluentHeader
		value, err := framing.AppendEncode(nil, latest.ID, nil)
		if err != nil {
			return err
		}
		body, err := avro.Marshal(schema, one)
		if err != nil {
			return err
		}
		record := &kgo.Record{Key: []byte(one.Customer), Value: append(value, body...), Headers: []kgo.RecordHeader{
			{Key: "ce_specversion", Value: []byte("1.0")},
			{Key: "ce_type", Value: []byte(eventType)},
			{Key: "ce_source", Value: []byte("https://shop.example/go")},
			{Key: "ce_id", Value: []byte("go-" + one.OrderID)},
			{Key: "ce_time", Value: []byte(one.PlacedAt.Format(time.RFC3339Nano))},
			{Key: "content-type", Value: []byte("application/avro")},
		}}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return fmt.Errorf("%s: %w", one.OrderID, err)
		}
	}
}
