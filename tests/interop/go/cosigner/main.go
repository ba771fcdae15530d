// cosigner watches one log as a witness does, with the Go implementations of notes, proofs and cosignatures.
//
// It reads the checkpoints that it is to cosign from standard input, each with the proof that the one before is its
// beginning, and answers with its lines of both types, Ed25519 (0x04) and ML-DSA-44 (0x06), or why it gives none.
package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/transparency-dev/formats/log"
	cosignature "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

const name = "witness.example/go"

// Step is one checkpoint with the consistency proof from the one cosigned before.
type Step struct {
	Checkpoint string
	Hashes     [][]byte
}

// Watch is a log and how it grows.
type Watch struct {
	Origin string
	Key    string
	Steps  []Step
}

// Answer is what the cosigner adds to one checkpoint.
type Answer struct {
	Lines string `json:"lines"`
	Error string `json:"error,omitempty"`
}

// Answers are given under Keys, the cosigner's verifier keys. Note is a note on nothing, signed with PlainKey (0x01).
type Answers struct {
	Keys     []string `json:"keys"`
	Answers  []Answer `json:"answers"`
	PlainKey string   `json:"plain_key"`
	Note     string   `json:"note"`
}

type cosigner struct {
	watch    note.Verifier
	origin   string
	signers  []note.Signer
	lastSize uint64
	lastRoot []byte
}

func (c *cosigner) cosign(step Step) (string, error) {
	next, _, opened, err := log.ParseCheckpoint([]byte(step.Checkpoint), c.origin, c.watch)
	if err != nil {
		return "", err
	}
	if c.lastRoot != nil {
		err := proof.VerifyConsistency(
			rfc6962.DefaultHasher, c.lastSize, next.Size, step.Hashes, c.lastRoot, next.Hash)
		if err != nil {
			return "", err
		}
	}
	signed, err := note.Sign(&note.Note{Text: opened.Text}, c.signers...)
	if err != nil {
		return "", err
	}
	c.lastSize, c.lastRoot = next.Size, next.Hash
	return strings.TrimPrefix(string(signed), opened.Text+"\n"), nil
}

func run() error {
	var watch Watch
	if err := json.NewDecoder(os.Stdin).Decode(&watch); err != nil {
		return err
	}
	watched, err := note.NewVerifier(watch.Key)
	if err != nil {
		return err
	}
	edSecret, edKey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return err
	}
	mlSecret, mlKey, err := cosignature.GenerateMLDSAKey(name)
	if err != nil {
		return err
	}
	timedKey, err := cosignature.VKeyToCosignatureV1(edKey)
	if err != nil {
		return err
	}
	c := cosigner{watch: watched, origin: watch.Origin}
	for _, secret := range []string{edSecret, mlSecret} {
		signer, err := cosignature.NewSignerForCosignatureV1(secret)
		if err != nil {
			return err
		}
		c.signers = append(c.signers, signer)
	}
	plain, err := note.NewSigner(edSecret)
	if err != nil {
		return err
	}
	signed, err := note.Sign(&note.Note{Text: "示例\n\nan example\n"}, plain)
	if err != nil {
		return err
	}
	given := Answers{Keys: []string{timedKey, mlKey}, Answers: []Answer{}, PlainKey: edKey, Note: string(signed)}
	for _, step := range watch.Steps {
		lines, err := c.cosign(step)
		answer := Answer{Lines: lines}
		if err != nil {
			answer.Error = err.Error()
		}
		given.Answers = append(given.Answers, answer)
	}
	return json.NewEncoder(os.Stdout).Encode(given)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
