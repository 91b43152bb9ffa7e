package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/twmb/franz-go/pkg/sr"
)

const (
	first  = `{"type":"record","name":"Plain","fields":[{"name":"a","type":"string"}]}`
	second = `{"type":"record","name":"Plain","fields":[{"name":"a","type":"string"},{"name":"b","type":"int","default":0}]}`
	broken = `{"type":"record","name":"Plain","fields":[{"name":"a","type":"string"},{"name":"c","type":"int"}]}`
)

// answers is what the registry said.
type answers struct {
	Subjects   []string `json:"subjects"`
	First      int      `json:"first"`
	Again      int      `json:"again"`
	Second     int      `json:"second"`
	Versions   []int    `json:"versions"`
	Level      string   `json:"level"`
	Fits       bool     `json:"fits"`
	BrokenFits bool     `json:"broken_fits"`
	Reasons    []string `json:"reasons"`
	Refused    refusal  `json:"refused"`
	Contract   refusal  `json:"contract"`
	UsedBy     []string `json:"used_by"`
	ByGUID     string   `json:"by_guid"`
	LookedUp   int      `json:"looked_up"`
	Deleted    []int    `json:"deleted"`
	Afterwards refusal  `json:"afterwards"`
}

// refusal is an error of the registry; empty where there was none.
type refusal struct {
	Status  int    `json:"status"`
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func refused(err error) refusal {
	var answer *sr.ResponseError
	if errors.As(err, &answer) {
		return refusal{answer.StatusCode, answer.ErrorCode, answer.Message}
	}
	return refusal{}
}

// registry tries what a client does with a subject, and what it may not do with the contract of a data product.
func registry(ctx context.Context, out *json.Encoder, url, subject, contract string) error {
	client, err := sr.NewClient(sr.URLs(url))
	if err != nil {
		return err
	}
	schema := func(text string) sr.Schema { return sr.Schema{Schema: text} }
	var said answers
	one, err := client.CreateSchema(ctx, subject, schema(first))
	if err != nil {
		return err
	}
	again, err := client.CreateSchema(ctx, subject, schema(first))
	if err != nil {
		return err
	}
	fits, err := client.CheckCompatibility(ctx, subject, -1, schema(second))
	if err != nil {
		return err
	}
	breaks, err := client.CheckCompatibility(sr.WithParams(ctx, sr.Verbose), subject, -1, schema(broken))
	if err != nil {
		return err
	}
	_, incompatible := client.CreateSchema(ctx, subject, schema(broken))
	_, foreign := client.CreateSchema(ctx, contract, schema(first))
	two, err := client.CreateSchema(ctx, subject, schema(second))
	if err != nil {
		return err
	}
	found, err := client.LookupSchema(ctx, subject, schema(second))
	if err != nil {
		return err
	}
	guid, err := client.SchemaByGUID(ctx, found.GUID)
	if err != nil {
		return err
	}
	said.First, said.Again, said.Second, said.LookedUp, said.ByGUID = one.ID, again.ID, two.ID, found.Version, guid.Schema.Schema
	said.Fits, said.BrokenFits, said.Reasons = fits.Is, breaks.Is, breaks.Messages
	said.Refused, said.Contract = refused(incompatible), refused(foreign)
	for _, level := range client.Compatibility(sr.WithParams(ctx, sr.DefaultToGlobal), subject) {
		if level.Err != nil {
			return level.Err
		}
		said.Level = level.Level.String()
	}
	if said.Versions, err = client.SubjectVersions(ctx, subject); err != nil {
		return err
	}
	if said.UsedBy, err = client.SubjectsByID(ctx, two.ID); err != nil {
		return err
	}
	if said.Subjects, err = client.Subjects(ctx); err != nil {
		return err
	}
	if said.Deleted, err = client.DeleteSubject(ctx, subject, sr.SoftDelete); err != nil {
		return err
	}
	_, gone := client.SubjectVersions(ctx, subject)
	said.Afterwards = refused(gone)
	return out.Encode(said)
}
