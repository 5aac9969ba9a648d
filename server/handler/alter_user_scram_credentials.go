package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What Kafka demands of a credential: the iterations of its two mechanisms, SCRAM-SHA-256 and SCRAM-SHA-512.
const (
	minSCRAMIterations = 4096
	maxSCRAMIterations = 16384
)

// alterUserSCRAMCredentials answers AlterUserScramCredentials. Malformed requests get Kafka's errors. A credential that Kafka
// would store is refused all the same: without SASL there is nobody to check it, and keeping secrets for nothing, or
// claiming to, would be worse than saying no.
func (b *Broker) alterUserSCRAMCredentials(_ context.Context, _ Client, req *kmsg.AlterUserSCRAMCredentialsRequest) kmsg.Response {
	resp := newResponse[*kmsg.AlterUserSCRAMCredentialsResponse](req)
	type credential struct {
		user      string
		mechanism int8
	}
	answers := make(map[string]int, len(req.Deletions)+len(req.Upsertions)) // by user: where in the results
	seen := make(map[credential]bool, len(req.Deletions)+len(req.Upsertions))
	answer := func(user string, mechanism int8, problem *scramProblem) {
		if seen[credential{user, mechanism}] {
			problem = &scramProblem{kerr.DuplicateResource, "A user credential cannot be altered twice in the same request"}
		}
		seen[credential{user, mechanism}] = true
		at, known := answers[user]
		if !known {
			at = len(resp.Results)
			answers[user] = at
			resp.Results = append(resp.Results, kmsg.NewAlterUserSCRAMCredentialsResponseResult())
		}
		r := &resp.Results[at]
		r.User, r.ErrorCode, r.ErrorMessage = user, problem.code.Code, &problem.text
	}
	for _, d := range req.Deletions {
		answer(d.Name, d.Mechanism, refuseSCRAMDeletion(d))
	}
	for _, u := range req.Upsertions {
		answer(u.Name, u.Mechanism, refuseSCRAMUpsertion(u))
	}
	return resp
}

// scramProblem is why a credential is not changed.
type scramProblem struct {
	code *kerr.Error
	text string
}

// checkSCRAM returns what is wrong with a user's name or with a mechanism (1: SCRAM-SHA-256, 2: SCRAM-SHA-512); nil: nothing.
func checkSCRAM(user string, mechanism int8) *scramProblem {
	switch {
	case user == "":
		return &scramProblem{kerr.UnacceptableCredential, "Username must not be empty"}
	case mechanism != 1 && mechanism != 2:
		return &scramProblem{kerr.UnsupportedSaslMechanism, "Unknown SCRAM mechanism"}
	}
	return nil
}

func refuseSCRAMDeletion(d kmsg.AlterUserSCRAMCredentialsRequestDeletion) *scramProblem {
	if p := checkSCRAM(d.Name, d.Mechanism); p != nil {
		return p
	}
	return &scramProblem{kerr.ResourceNotFound, "Attempt to delete a user credential that does not exist"}
}

func refuseSCRAMUpsertion(u kmsg.AlterUserSCRAMCredentialsRequestUpsertion) *scramProblem {
	switch p := checkSCRAM(u.Name, u.Mechanism); {
	case p != nil:
		return p
	case u.Iterations < minSCRAMIterations:
		return &scramProblem{kerr.UnacceptableCredential, "Too few iterations"}
	case u.Iterations > maxSCRAMIterations:
		return &scramProblem{kerr.UnacceptableCredential, "Too many iterations"}
	}
	return &scramProblem{kerr.UnsupportedSaslMechanism, "SASL is not enabled on this cluster; no SCRAM credentials are kept"}
}
