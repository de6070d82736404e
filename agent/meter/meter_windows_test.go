package meter

func mapShared(string) []byte { return nil }

func allocate(size int) []byte { return make([]byte, size) }
