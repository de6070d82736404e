package mem_test

import (
	"testing"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
	"github.com/condaworker/condaworker/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return &mem.Store{} })
}
