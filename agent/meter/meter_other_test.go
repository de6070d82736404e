//go:build !linux

package meter

func systemRole(string, string) bool { return false }
