// The stack that the service is compared with: gin with otelgin, zerolog and Prometheus in front of a
// channel of 100 that five workers read. It stores nothing: what it accepted is gone when it stops.
//
// OTEL_EXPORTER_OTLP_ENDPOINT names the sink of its spans. The first line on stdout is the address that
// it listens on; every further one is a log line.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/contrib/instrumentation/github.com/gin-gonic/gin/otelgin"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

const (
	route      = "/api/v1/notifications/sms/async"
	queueSize  = 100
	workers    = 5
	serverName = "go-reference"
)

type notification struct {
	PatientID string `json:"patientId" binding:"required,max=64"`
	Message   string `json:"message" binding:"required,max=1600"`
}

var (
	requests = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "http_requests_total", Help: "Requests answered.",
	}, []string{"method", "route", "status"})
	durations = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "Time to answer.", Buckets: prometheus.DefBuckets,
	}, []string{"method", "route", "status"})
	sent = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "notifications_sent_total", Help: "Notifications sent.",
	}, []string{"channel"})
)

func main() {
	ctx := context.Background()
	provider, err := tracing(ctx)
	fatal(err)
	defer func() { _ = provider.Shutdown(ctx) }()

	queue := make(chan notification, queueSize)
	for range workers {
		go func() {
			for range queue {
				sent.WithLabelValues("sms").Inc()
			}
		}()
	}

	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Use(gin.Recovery(), otelgin.Middleware(serverName), observe(zerolog.New(os.Stdout).With().Timestamp().Logger()))
	router.POST(route, accept(queue))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(err)
	fmt.Println(listener.Addr())
	fatal(http.Serve(listener, router))
}

// tracing exports every span to the endpoint that the environment names, in the SDK's own batches.
func tracing(ctx context.Context) (*trace.TracerProvider, error) {
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, err
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithSampler(trace.AlwaysSample()))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return provider, nil
}

// observe writes one line and counts one request.
func observe(logger zerolog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		started := time.Now()
		c.Next()
		elapsed, status := time.Since(started), strconv.Itoa(c.Writer.Status())
		requests.WithLabelValues(c.Request.Method, c.FullPath(), status).Inc()
		durations.WithLabelValues(c.Request.Method, c.FullPath(), status).Observe(elapsed.Seconds())
		span := oteltrace.SpanContextFromContext(c.Request.Context())
		logger.Info().
			Str("trace_id", span.TraceID().String()).
			Str("span_id", span.SpanID().String()).
			Str("method", c.Request.Method).
			Str("route", c.FullPath()).
			Int("status", c.Writer.Status()).
			Dur("duration", elapsed).
			Msg("request answered")
	}
}

// accept queues a notification in memory, waiting where the channel is full.
func accept(queue chan<- notification) gin.HandlerFunc {
	return func(c *gin.Context) {
		var n notification
		if err := c.ShouldBindJSON(&n); err != nil {
			c.JSON(http.StatusBadRequest, gin.H{"error": "not a notification"})
			return
		}
		queue <- n
		c.JSON(http.StatusAccepted, gin.H{"id": uuid.NewString(), "status": "accepted"})
	}
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
