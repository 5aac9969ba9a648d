package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterClientQuotas answers AlterClientQuotas.
func (b *Broker) alterClientQuotas(ctx context.Context, _ Client, req *kmsg.AlterClientQuotasRequest) kmsg.Response {
	resp, err := control[*kmsg.AlterClientQuotasResponse](ctx, b, req, 0)
	if err == nil {
		return resp
	}
	resp = newResponse[*kmsg.AlterClientQuotasResponse](req)
	resp.Entries = make([]kmsg.AlterClientQuotasResponseEntry, len(req.Entries))
	for i, asked := range req.Entries {
		e := kmsg.NewAlterClientQuotasResponseEntry()
		e.ErrorCode, e.ErrorMessage = controlError(err)
		for _, name := range asked.Entity {
			part := kmsg.NewAlterClientQuotasResponseEntryEntity()
			part.Type, part.Name = name.Type, name.Name
			e.Entity = append(e.Entity, part)
		}
		resp.Entries[i] = e
	}
	return resp
}
