package schemas

import (
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/linkedin/goavro/v2"
)

// rowSchema is the schema of AuditRow.
const rowSchema = "auditrow"

// AuditRow is one row of an export of the audit topic, for analysts. It names nobody.
type AuditRow struct {
	AuditID         string    `avro:"audit_id" parquet:"audit_id"`
	At              time.Time `avro:"at" parquet:"at,timestamp(millisecond)"`
	Day             Date      `avro:"day" parquet:"day"`
	Hour            int64     `avro:"hour" parquet:"hour"`
	Kind            string    `avro:"kind" parquet:"kind,dict"`
	Stream          string    `avro:"stream" parquet:"stream,dict"`
	Action          string    `avro:"action" parquet:"action,dict"`
	Organisation    string    `avro:"organisation" parquet:"organisation,dict"`
	Setting         string    `avro:"setting" parquet:"setting,dict"`
	Event           string    `avro:"event" parquet:"event,dict"`
	State           string    `avro:"state" parquet:"state,dict"`
	Reason          string    `avro:"reason" parquet:"reason,dict"`
	Code            string    `avro:"code" parquet:"code,dict"`
	Silent          bool      `avro:"silent" parquet:"silent"`
	Repeat          bool      `avro:"repeat" parquet:"repeat"`
	Corrects        string    `avro:"corrects" parquet:"corrects"`
	Decision        string    `avro:"decision" parquet:"decision"`
	Registration    string    `avro:"registration" parquet:"registration"`
	Subject         string    `avro:"subject" parquet:"subject"`
	Worker          string    `avro:"worker" parquet:"worker"`
	Role            string    `avro:"role" parquet:"role,dict"`
	Authorities     string    `avro:"authorities" parquet:"authorities,dict"`
	LateAuthorities string    `avro:"late_authorities" parquet:"late_authorities,dict"`
	AnswerMS        int64     `avro:"answer_ms" parquet:"answer_ms"`
	Count           int64     `avro:"count" parquet:"count"`
}

// Column describes a column of AuditRow.
type Column struct {
	Name, Type, Doc string
}

// AuditColumns are the columns of AuditRow, in order: the data dictionary.
func AuditColumns() ([]Column, error) {
	c, err := rowCodec()
	if err != nil {
		return nil, err
	}
	var out []Column
	for _, f := range c.node.fields {
		kind := f.node.kind
		if f.node.logical != "" {
			kind = "timestamp, ms"
		}
		out = append(out, Column{f.name, kind, f.doc})
	}
	return out, nil
}

func rowCodec() (*compiled, error) {
	text, err := Schema(rowSchema)
	if err != nil {
		return nil, err
	}
	return compile(text)
}

// NewAuditOCF writes rows as an Avro object container file, compressed.
func NewAuditOCF(w io.Writer) (func([]AuditRow) error, error) {
	text, err := Schema(rowSchema)
	if err != nil {
		return nil, err
	}
	c, err := compile(text)
	if err != nil {
		return nil, err
	}
	file, err := goavro.NewOCFWriter(goavro.OCFConfig{W: w, Schema: text, CompressionName: goavro.CompressionDeflateLabel})
	if err != nil {
		return nil, fmt.Errorf("write export: %w", err)
	}
	return func(rows []AuditRow) error {
		natives := make([]any, len(rows))
		for i := range rows {
			if natives[i], err = toNative(reflect.ValueOf(rows[i]), c.node); err != nil {
				return fmt.Errorf("write export: %w", err)
			}
		}
		if err := file.Append(natives); err != nil {
			return fmt.Errorf("write export: %w", err)
		}
		return nil
	}, nil
}
