package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Root is the directory of balsa's module.
func Root() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", fmt.Errorf("find the module: no caller information")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(file))), nil
}

// Build compiles cmd/balsa into dir and returns the binary's path. The environment's BALSA_BINARY, if set, is
// returned instead: a binary that was built before.
func Build(dir string) (string, error) {
	if path := os.Getenv("BALSA_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	return BuildPackage(dir, "balsa", "./cmd/balsa")
}

// BuildPackage compiles one of the module's programs into dir under name.
func BuildPackage(dir, name, pkg string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}
