package handler

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/invariant"
)

// control has the controller answer req, within the time that the request allows (0 or less: the controller's own limit).
func control[R kmsg.Response](ctx context.Context, b *Broker, req kmsg.Request, timeoutMillis int32) (R, error) {
	if timeoutMillis > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(timeoutMillis)*time.Millisecond)
		defer cancel()
	}
	var none R
	busy := idle(ctx)
	answered, err := b.Controller.Do(ctx, req)
	busy()
	if err != nil {
		return none, err
	}
	resp, ok := answered.(R)
	invariant.Check(ok, "controller answers %T with %T", req, answered)
	return resp, nil
}

// controlError returns what each item of a request gets that the controller did not answer. When time ran out, the change
// may still happen.
func controlError(err error) (code int16, message *string) {
	text := err.Error()
	if code = errorCode(err); code == kerr.UnknownServerError.Code {
		code = kerr.RequestTimedOut.Code
	}
	return code, &text
}
