// judge lets the Go implementations of notes, cosignatures and Merkle proofs check what is read from standard input.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/transparency-dev/formats/log"
	cosignature "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// Inclusion is one entry with its audit path.
type Inclusion struct {
	Index  uint64
	Entry  []byte
	Hashes [][]byte
}

// Consistency is an older tree head with the proof that it is the beginning of the checkpoint's tree.
type Consistency struct {
	Size   uint64
	Root   []byte
	Hashes [][]byte
}

// Case is one checkpoint with what is claimed of its tree. All of Keys must have signed.
type Case struct {
	Origin      string
	Keys        []string
	Checkpoint  string
	Inclusion   []Inclusion
	Consistency []Consistency
}

// Finding is what was verified, or why nothing was.
type Finding struct {
	Size   uint64   `json:"size"`
	Root   []byte   `json:"root"`
	Signed []uint32 `json:"signed"`
	Error  string   `json:"error,omitempty"`
}

// verifier takes plain Ed25519 keys to the note package of Go itself, and cosigners' keys to transparency-dev's.
func verifier(key string) (note.Verifier, error) {
	if plain, err := note.NewVerifier(key); err == nil {
		return plain, nil
	}
	return cosignature.NewVerifierForCosignatureV1(key)
}

func judge(given Case) (Finding, error) {
	found := Finding{Signed: []uint32{}}
	var verifiers []note.Verifier
	for _, key := range given.Keys {
		v, err := verifier(key)
		if err != nil {
			return found, fmt.Errorf("key %.40s: %w", key, err)
		}
		verifiers = append(verifiers, v)
	}
	for _, v := range verifiers {
		checkpoint, _, opened, err := log.ParseCheckpoint([]byte(given.Checkpoint), given.Origin, v)
		if err != nil {
			return found, fmt.Errorf("signature of %s+%08x: %w", v.Name(), v.KeyHash(), err)
		}
		found.Size, found.Root = checkpoint.Size, checkpoint.Hash
		found.Signed = append(found.Signed, opened.Sigs[0].Hash)
	}
	for _, each := range given.Inclusion {
		leaf := rfc6962.DefaultHasher.HashLeaf(each.Entry)
		err := proof.VerifyInclusion(rfc6962.DefaultHasher, each.Index, found.Size, leaf, each.Hashes, found.Root)
		if err != nil {
			return found, fmt.Errorf("inclusion of %d: %w", each.Index, err)
		}
	}
	for _, each := range given.Consistency {
		err := proof.VerifyConsistency(
			rfc6962.DefaultHasher, each.Size, found.Size, each.Hashes, each.Root, found.Root)
		if err != nil {
			return found, fmt.Errorf("consistency with %d: %w", each.Size, err)
		}
	}
	return found, nil
}

func main() {
	var cases []Case
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	findings := []Finding{}
	for _, given := range cases {
		found, err := judge(given)
		if err != nil {
			found.Error = err.Error()
		}
		findings = append(findings, found)
	}
	if err := json.NewEncoder(os.Stdout).Encode(findings); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
