//go:build needed

// Package needed keeps `go mod tidy` from taking VictoriaLogs out of go.mod.
package needed

import _ "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-logs"
