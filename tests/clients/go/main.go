// What the official Go clients do with a server: client http://HOST:PORT.
//
// Versions 7 and 8 of go-elasticsearch, each with its bulk indexer, a search, a scroll and an
// error; prints "ok" at the end.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	es7 "github.com/elastic/go-elasticsearch/v7"
	bulk7 "github.com/elastic/go-elasticsearch/v7/esutil"
	es8 "github.com/elastic/go-elasticsearch/v8"
	bulk8 "github.com/elastic/go-elasticsearch/v8/esutil"
)

const documents = 1000

type found struct {
	ScrollID string `json:"_scroll_id"`
	Hits     struct {
		Total struct{ Value int }
		Hits  []struct {
			ID     string          `json:"_id"`
			Source struct{ N int } `json:"_source"`
		}
	}
	Aggregations struct {
		L struct {
			Buckets []struct {
				Key      string
				DocCount int `json:"doc_count"`
			}
		}
	}
	Error struct{ Type string }
}

func check(is bool, what string, about ...any) {
	if !is {
		log.Fatal(append([]any{what, ": "}, about...)...)
	}
}

// The answer's body, once its status is as expected.
func read(status int, body io.ReadCloser, err error, expected int) found {
	check(err == nil, "request", err)
	defer body.Close()
	text, err := io.ReadAll(body)
	check(err == nil, "body", err)
	check(status == expected, "status", status, string(text))
	var all found
	check(json.Unmarshal(text, &all) == nil, "JSON", string(text))
	return all
}

func line(n int) string {
	level := "info"
	if n%10 == 0 {
		level = "error"
	}
	return fmt.Sprintf(`{"n":%d,"level":%q}`, n, level)
}

const search = `{"size":2,"query":{"term":{"level.keyword":"error"}},"sort":[{"n":"desc"}],` +
	`"aggs":{"l":{"terms":{"field":"level.keyword"}}}}`

func checkSearch(all found) {
	check(all.Hits.Total.Value == documents/10, "total", all.Hits.Total.Value)
	check(len(all.Hits.Hits) == 2 && all.Hits.Hits[0].Source.N == 990, "hits", all.Hits.Hits)
	buckets := all.Aggregations.L.Buckets
	check(len(buckets) == 1 && buckets[0].DocCount == documents/10, "buckets", buckets)
}

func with7(address string) {
	es, err := es7.NewClient(es7.Config{Addresses: []string{address}})
	check(err == nil, "client", err)
	index := "client-go-7"
	indexer, err := bulk7.NewBulkIndexer(bulk7.BulkIndexerConfig{Client: es, Index: index, FlushBytes: 20000, Refresh: "true"})
	check(err == nil, "indexer", err)
	for n := range documents {
		item := bulk7.BulkIndexerItem{Action: "index", DocumentID: strconv.Itoa(n), Body: strings.NewReader(line(n))}
		check(indexer.Add(context.Background(), item) == nil, "add")
	}
	check(indexer.Close(context.Background()) == nil, "close")
	check(indexer.Stats().NumFlushed == documents, "flushed", indexer.Stats())
	answer, err := es.Search(es.Search.WithIndex(index), es.Search.WithBody(strings.NewReader(search)))
	checkSearch(read(answer.StatusCode, answer.Body, err, http.StatusOK))
	answer, err = es.Get(index, "none")
	read(answer.StatusCode, answer.Body, err, http.StatusNotFound)
	answer, err = es.Indices.Delete([]string{index})
	read(answer.StatusCode, answer.Body, err, http.StatusOK)
}

func with8(address string) {
	es, err := es8.NewClient(es8.Config{Addresses: []string{address}})
	check(err == nil, "client", err)
	index := "client-go-8"
	var failed atomic.Int32
	indexer, err := bulk8.NewBulkIndexer(bulk8.BulkIndexerConfig{Client: es, Index: index, FlushBytes: 20000, Refresh: "true"})
	check(err == nil, "indexer", err)
	for n := range documents + 1 {
		// The last one is there already.
		item := bulk8.BulkIndexerItem{Action: "create", DocumentID: strconv.Itoa(n % documents), Body: bytes.NewReader([]byte(line(n))),
			OnFailure: func(_ context.Context, _ bulk8.BulkIndexerItem, answer bulk8.BulkIndexerResponseItem, _ error) {
				check(answer.Status == http.StatusConflict, "status of an item", answer.Status)
				failed.Add(1)
			}}
		check(indexer.Add(context.Background(), item) == nil, "add")
	}
	check(indexer.Close(context.Background()) == nil, "close")
	check(failed.Load() == 1, "failed", failed.Load())
	answer, err := es.Search(es.Search.WithIndex(index), es.Search.WithBody(strings.NewReader(search)))
	checkSearch(read(answer.StatusCode, answer.Body, err, http.StatusOK))
	seen := map[string]bool{}
	answer, err = es.Search(es.Search.WithIndex(index), es.Search.WithScroll(60_000_000_000), es.Search.WithSize(170))
	page := read(answer.StatusCode, answer.Body, err, http.StatusOK)
	for len(page.Hits.Hits) > 0 {
		for _, hit := range page.Hits.Hits {
			seen[hit.ID] = true
		}
		answer, err = es.Scroll(es.Scroll.WithScrollID(page.ScrollID), es.Scroll.WithScroll(60_000_000_000))
		page = read(answer.StatusCode, answer.Body, err, http.StatusOK)
	}
	check(len(seen) == documents, "scrolled", len(seen))
	answer, err = es.Search(es.Search.WithIndex(index), es.Search.WithBody(strings.NewReader(`{"query":{"trem":{}}}`)))
	wrong := read(answer.StatusCode, answer.Body, err, http.StatusBadRequest)
	check(wrong.Error.Type == "parsing_exception", "error", wrong.Error.Type)
	answer, err = es.Indices.Delete([]string{index})
	read(answer.StatusCode, answer.Body, err, http.StatusOK)
}

func main() {
	with7(os.Args[1])
	with8(os.Args[1])
	fmt.Println("ok")
}
