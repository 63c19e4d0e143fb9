package schemas

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/signature"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// An authority that streams encrypts for the broker, so that no one else who reads
// the topic learns anything, and signs with its own key, so that no one else who
// writes to it can change its records. Both bind topic, authority and update id.

// NoUpdateKey means that this keyring cannot open updates: it has no key for them.
var errNoUpdateKey = errors.New("there is no key set for updates (" + KeysUpdate + ".json)")

// updateContext is what an update is bound to.
func updateContext(u Update) []byte {
	var out []byte
	for _, part := range []string{string(TopicUpdate), string(u.Authority), u.UpdateID} {
		out = append(append(strconv.AppendInt(out, int64(len(part)), 10), ':'), part...)
	}
	return out
}

// ValidUpdateID reports whether an update id has its form.
func ValidUpdateID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// updateKeys are the broker's keys for updates.
type updateKeys struct {
	private tink.HybridDecrypt
	public  []byte // Tink key set in JSON
}

func updateTemplate() *tinkpb.KeyTemplate {
	return hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template()
}

func newUpdateKeys(h *keyset.Handle) (k updateKeys, err error) {
	if k.private, err = hybrid.NewHybridDecrypt(h); err != nil {
		return k, err
	}
	k.public, err = publicText(h)
	return k, err
}

func publicText(h *keyset.Handle) ([]byte, error) {
	public, err := h.Public()
	if err != nil {
		return nil, fmt.Errorf("derive public keys: %w", err)
	}
	var text bytes.Buffer
	if err := public.WriteWithNoSecrets(keyset.NewJSONWriter(&text)); err != nil {
		return nil, fmt.Errorf("write public keys: %w", err)
	}
	return text.Bytes(), nil
}

// UpdateKey is the public key set that updates are encrypted with, a Tink key set
// in JSON.
func (k *Keyring) UpdateKey() ([]byte, error) {
	l, err := k.update.get(false)
	if err != nil {
		return nil, errors.Join(errNoUpdateKey, err)
	}
	return l.keys.public, nil
}

// OpenUpdate opens the records of an update.
func (k *Keyring) OpenUpdate(u Update) ([]byte, error) {
	l, err := k.update.get(false)
	if err != nil {
		return nil, errors.Join(errNoUpdateKey, err)
	}
	plain, err := l.keys.private.Decrypt(u.Sealed, updateContext(u))
	if err != nil {
		return nil, fmt.Errorf("open update: %w", ErrSealed)
	}
	return plain, nil
}

// UpdateVerifier checks the signatures of one authority.
type UpdateVerifier struct{ verifier tink.Verifier }

// NewUpdateVerifier reads an authority's public key set, a Tink key set in JSON.
func NewUpdateVerifier(public []byte) (*UpdateVerifier, error) {
	h, err := keyset.ReadWithNoSecrets(keyset.NewJSONReader(bytes.NewReader(public)))
	if err != nil {
		return nil, fmt.Errorf("read public keys: %w", err)
	}
	v, err := signature.NewVerifier(h)
	if err != nil {
		return nil, fmt.Errorf("read public keys: %w", err)
	}
	return &UpdateVerifier{v}, nil
}

// Verify is nil where the authority signed the update.
func (v *UpdateVerifier) Verify(u Update) error {
	if err := v.verifier.Verify(u.Signature, append(updateContext(u), u.Sealed...)); err != nil {
		return errors.New("verify update: the signature is not the authority's")
	}
	return nil
}

// UpdateSealer is an authority's side: it encrypts and signs. Safe for concurrent
// use.
type UpdateSealer struct {
	authority AuthorityCode
	box       tink.HybridEncrypt
	signer    tink.Signer
}

// NewUpdateSealer takes the broker's public key set and the authority's own signing
// key set.
func NewUpdateSealer(a AuthorityCode, broker, signing []byte) (*UpdateSealer, error) {
	public, err := keyset.ReadWithNoSecrets(keyset.NewJSONReader(bytes.NewReader(broker)))
	if err != nil {
		return nil, fmt.Errorf("read the broker's keys: %w", err)
	}
	s := &UpdateSealer{authority: a}
	if s.box, err = hybrid.NewHybridEncrypt(public); err != nil {
		return nil, fmt.Errorf("read the broker's keys: %w", err)
	}
	own, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(signing)))
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	if s.signer, err = signature.NewSigner(own); err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return s, nil
}

// Seal makes an update of JSON Lines, with an id of its own.
func (s *UpdateSealer) Seal(records []byte) (Update, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return Update{}, fmt.Errorf("make update id: %w", err)
	}
	u := Update{Authority: s.authority, UpdateID: hex.EncodeToString(id[:])}
	var err error
	if u.Sealed, err = s.box.Encrypt(records, updateContext(u)); err != nil {
		return u, fmt.Errorf("seal update: %w", err)
	}
	if u.Signature, err = s.signer.Sign(append(updateContext(u), u.Sealed...)); err != nil {
		return u, fmt.Errorf("sign update: %w", err)
	}
	return u, nil
}

// NewSigningKeys makes an authority's signing key set, and the public one for the
// broker.
func NewSigningKeys() (private, public []byte, err error) {
	h, err := keyset.NewHandle(signingTemplate())
	if err != nil {
		return nil, nil, fmt.Errorf("make signing keys: %w", err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&text)); err != nil {
		return nil, nil, fmt.Errorf("write signing keys: %w", err)
	}
	public, err = publicText(h)
	return text.Bytes(), public, err
}

func signingTemplate() *tinkpb.KeyTemplate { return signature.ED25519KeyTemplate() }
