package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

type groupCmd struct {
	List         groupListCmd     `cmd:"" help:"List consumer groups."`
	Describe     groupDescribeCmd `cmd:"" help:"Show members and lag of groups."`
	ResetOffsets groupResetCmd    `cmd:"" help:"Move a group to other offsets; shows the plan unless --execute."`
	Delete       groupDeleteCmd   `cmd:"" help:"Delete groups and their offsets."`
}

// existingGroup describes a group, or fails with the name that was probably meant. Kafka describes a group that does
// not exist as Dead instead of refusing.
func existingGroup(ctx context.Context, admin *kadm.Client, name string) (kadm.DescribedGroupLag, error) {
	lags, err := admin.Lag(ctx, name)
	if err != nil {
		return kadm.DescribedGroupLag{}, err
	}
	lag := lags[name]
	if lag.State != "Dead" && lag.DescribeErr == nil {
		return lag, lag.FetchErr
	}
	if lag.State == "Dead" || isGroupMissing(lag.DescribeErr) {
		if lag, found, err := consumerGroupLag(ctx, admin, name); found || err != nil {
			return lag, err
		}
		hint := "list the groups with `balsa group list`"
		if all, err := admin.ListGroups(ctx); err == nil {
			if near := nearest(name, all.Groups()); near != "" {
				hint = "did you mean " + near + "? `balsa group list` shows all groups"
			}
		}
		return lag, failf(hint, "group %s does not exist", name)
	}
	return lag, fmt.Errorf("describe group %s: %w", name, lag.DescribeErr)
}
