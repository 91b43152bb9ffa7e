package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// message is one line of `read`.
type message struct {
	Key       string            `json:"key"`
	Partition int32             `json:"partition"`
	Headers   map[string]string `json:"headers"`
	Tombstone bool              `json:"tombstone"`
	SchemaID  int               `json:"schema_id"`
	Record    any               `json:"record"`
}

// read shows the messages of a topic from its beginning, until there were count of them.
func read(ctx context.Context, out *json.Encoder, brokers, url, topic string, count int) error {
	known, err := newSchemas(url)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for seen := 0; seen < count; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d of %d messages: %w", seen, count, err)
		}
		for _, record := range fetches.Records() {
			line, err := known.message(ctx, record)
			if err != nil {
				return fmt.Errorf("%s[%d]@%d: %w", record.Topic, record.Partition, record.Offset, err)
			}
			if err := out.Encode(line); err != nil {
				return err
			}
			seen++
		}
	}
	return nil
}

// schemas fetches each schema once, by the id that stands before a value.
type schemas struct {
	registry *sr.Client
	byID     map[int]avro.Schema
}

func newSchemas(url string) (*schemas, error) {
	registry, err := sr.NewClient(sr.URLs(url))
	return &schemas{registry, map[int]avro.Schema{}}, err
}

func (s *schemas) message(ctx context.Context, record *kgo.Record) (*message, error) {
	line := &message{Key: string(record.Key), Partition: record.Partition, Headers: map[string]string{}}
	for _, header := range record.Headers {
		line.Headers[header.Key] = string(header.Value)
	}
	if record.Value == nil {
		line.Tombstone = true
		return line, nil
	}
	var framing sr.ConfluentHeader
	id, body, err := framing.DecodeID(record.Value)
	if err != nil {
		return nil, err
	}
	schema, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	line.SchemaID = id
	if err := avro.Unmarshal(schema, body, &line.Record); err != nil {
		return nil, err
	}
	line.Record = plain(line.Record)
	return line, nil
}

func (s *schemas) find(ctx context.Context, id int) (avro.Schema, error) {
	if schema, ok := s.byID[id]; ok {
		return schema, nil
	}
	found, err := s.registry.SchemaByID(ctx, id)
	if err != nil {
		return nil, err
	}
	// A cache of its own: names of other schemas mean nothing here.
	schema, err := avro.ParseWithCache(found.Schema, "", &avro.SchemaCache{})
	s.byID[id] = schema
	return schema, err
}

// plain makes a decoded value one that JSON can hold: decimals become text, times RFC 3339.
func plain(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, each := range value {
			value[name] = plain(each)
		}
	case []any:
		for place, each := range value {
			value[place] = plain(each)
		}
	case *big.Rat:
		return value.FloatString(2)
	case time.Time:
		return value.UTC().Format(time.RFC3339Nano)
	}
	return value
}
