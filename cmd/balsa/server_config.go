package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/goccy/go-yaml"
	"github.com/knadh/koanf/v2"

	"balsa/server/config"
)

// envPrefix starts the name of every environment variable that configures the broker: BALSA_DATA_DIR is data-dir.
const envPrefix = "BALSA_"

// otherVariables are no settings, but a server may find them set: those of the other commands, and the name of the
// binary that scripts and tests start.
func otherVariables() []string { return []string{"BROKERS", "CONFIG", "BINARY"} }

// loadConfig merges the sources of the configuration; the later wins: defaults, the YAML file (if any), environment,
// flags. A name that no setting has is an error in every one of them, since a misspelt setting that is silently
// ignored shows only when it is too late.
func loadConfig(path string, environ []string, flags map[string]any) (config.Config, error) {
	result := config.Default()
	keys := settingNames()
	merged := koanf.New(".")
	if path != "" {
		values, err := readConfigFile(path, keys)
		if err != nil {
			return result, err
		}
		if err := merged.Load(source(values), nil); err != nil {
			return result, fmt.Errorf("configuration file %s: %w", path, err)
		}
	}
	values, err := environmentValues(environ, keys)
	if err != nil {
		return result, err
	}
	for _, layer := range []map[string]any{values, flags} {
		if err := merged.Load(source(layer), nil); err != nil {
			return result, fmt.Errorf("merge configuration: %w", err)
		}
	}
	err = merged.UnmarshalWithConf("", &result, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		WeaklyTypedInput: true, // environment variables are strings
		DecodeHook:       mapstructure.ComposeDecodeHookFunc(durationHook, peersHook),
	}})
	if err != nil {
		return result, usagef("see `balsa server --help`", "configuration: %s", oneLine(err))
	}
	if len(result.Peers) > 0 && !merged.Exists("peer-listen") {
		result.PeerListen = result.PeerAddress()
	}
	if err := result.Validate(); err != nil {
		return result, usagef("see `balsa server --help`", "configuration: %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return result, nil
}

// source is a koanf provider of values that are already in memory.
type source map[string]any

func (s source) ReadBytes() ([]byte, error)    { return nil, fmt.Errorf("values in memory have no bytes") }
func (s source) Read() (map[string]any, error) { return s, nil }

// readConfigFile parses YAML and checks its keys.
func readConfigFile(path string, keys []string) (map[string]any, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("", "read configuration: %w", err)
	}
	values := map[string]any{}
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return nil, usagef("", "configuration file %s: %s", path, yaml.FormatError(err, false, true))
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(keys, name) {
			return nil, unknownSetting(fmt.Sprintf("configuration file %s: unknown key %s", path, name), name, "", keys)
		}
	}
	return values, nil
}

// environmentValues picks the BALSA_ variables and checks their names.
func environmentValues(environ, keys []string) (map[string]any, error) {
	byVariable := make(map[string]string, len(keys))
	variables := make([]string, 0, len(keys))
	for _, key := range keys {
		variable := strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
		byVariable[variable] = key
		variables = append(variables, variable)
	}
	values := map[string]any{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		variable, ours := strings.CutPrefix(name, envPrefix)
		if !ours || slices.Contains(otherVariables(), variable) {
			continue
		}
		key, known := byVariable[variable]
		if !known {
			return nil, unknownSetting("unknown environment variable "+name, variable, envPrefix, variables)
		}
		values[key] = value
	}
	return values, nil
}

func unknownSetting(problem, name, prefix string, candidates []string) error {
	hint := "`balsa server --print-config` lists the settings"
	if near := nearest(name, candidates); near != "" {
		hint = "did you mean " + prefix + near + "?"
	}
	return usagef(hint, "%s", problem)
}

// settingNames lists the names of all settings, which are the koanf tags of the configuration and its embedded parts.
func settingNames() []string {
	var names []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[config.Config]()) {
		if !field.Anonymous {
			names = append(names, field.Tag.Get("koanf"))
		}
	}
	return names
}

// durationHook accepts Go durations ("1m30s") and refuses bare numbers, whose unit everyone guesses differently.
func durationHook(from, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() || from == to {
		return value, nil
	}
	text, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%v needs a unit, for example %vs", value, value)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a duration such as 500ms, 30s or 1h", text)
	}
	return d, nil
}

// peersHook accepts the compact form of the flag, "1@host:port,2@host:port", and a YAML list of such strings.
func peersHook(_, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[[]config.Peer]() {
		return value, nil
	}
	switch v := value.(type) {
	case string:
		return config.ParsePeers(v)
	case []any:
		entries := make([]string, 0, len(v))
		for _, entry := range v {
			text, ok := entry.(string)
			if !ok {
				return nil, fmt.Errorf("peer %v is not id@host:port", entry)
			}
			entries = append(entries, text)
		}
		return config.ParsePeers(strings.Join(entries, ","))
	}
	return value, nil
}
