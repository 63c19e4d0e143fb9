package schemas

import (
	"bytes"
	"errors"
	"testing"
)

// TestOnlyTheAuthorityCanWriteAndOnlyTheBrokerRead changes each part of an update.
func TestOnlyTheAuthorityCanWriteAndOnlyTheBrokerRead(t *testing.T) {
	broker, err := OpenKeyring(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	public, err := broker.UpdateKey()
	if err != nil {
		t.Fatal(err)
	}
	private, own, err := NewSigningKeys()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := NewUpdateSealer("E06A", public, private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := NewUpdateVerifier(own)
	if err != nil {
		t.Fatal(err)
	}
	u, err := sealer.Seal([]byte("CANARY"))
	if err != nil || bytes.Contains(u.Sealed, []byte("CANARY")) || !ValidUpdateID(u.UpdateID) {
		t.Fatal(u.UpdateID, err)
	}
	plain, err := broker.OpenUpdate(u)
	if err != nil || string(plain) != "CANARY" || verifier.Verify(u) != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Update){
		"another authority": func(u *Update) { u.Authority = "E06B" }, "another id": func(u *Update) { u.UpdateID += "x" },
		"another content": func(u *Update) { u.Sealed[len(u.Sealed)-1] ^= 1 },
	} {
		c := u
		c.Sealed = bytes.Clone(u.Sealed)
		change(&c)
		if verifier.Verify(c) == nil {
			t.Errorf("%s: the signature holds", name)
		}
		if _, err := broker.OpenUpdate(c); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, other, err := NewSigningKeys()
	if err != nil {
		t.Fatal(err)
	}
	if v, err := NewUpdateVerifier(other); err != nil || v.Verify(u) == nil {
		t.Errorf("another's key verifies: %v", err)
	}
	if _, err := NewUpdateVerifier(private); err == nil {
		t.Error("a private key set is taken where a public one is wanted")
	}
}
