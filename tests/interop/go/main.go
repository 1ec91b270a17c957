// Judges what Sluis writes with Go's own code for transparent logs (golang.org/x/mod/sumdb: note, tlog), and nothing of Sluis.
//
//	log    KEY FOLDER                   the whole log: checkpoint, every tile, every entry; prints its size
//	proof  KEY PROOF ENTRY              a tlog-proof: is the entry in the log? prints its index
//	extend KEY OLDER NEWER HASHES       does the newer checkpoint extend the older one? HASHES: base64, one per line
//	note   KEY FILE                     a signed note; prints its text
//
// Status 0 when all is well, 1 with one line on standard error when it is not.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // rows of a tile (C2SP tlog-tiles)

func main() {
	log.SetFlags(0)
	verbs := map[string]func(note.Verifier, []string){"log": wholeLog, "proof": proof, "extend": extend, "note": signedNote}
	verb, arguments := os.Args[1], os.Args[2:]
	verifier, err := note.NewVerifier(strings.TrimSpace(string(content(arguments[0]))))
	check(err)
	verbs[verb](verifier, arguments[1:])
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func content(path string) []byte {
	data, err := os.ReadFile(path)
	check(err)
	return data
}

// open checks the signature and answers the note's text.
func open(data []byte, key note.Verifier) string {
	opened, err := note.Open(data, note.VerifierList(key))
	check(err)
	return opened.Text
}

// head is the tree of a checkpoint, whose first line is the log's name and the name of its key. ParseTree knows one log's name only.
func head(data []byte, key note.Verifier) tlog.Tree {
	parts := strings.SplitN(open(data, key), "\n", 2)
	if parts[0] != key.Name() {
		log.Fatalf("a checkpoint of the log %q", parts[0])
	}
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + parts[1]))
	check(err)
	return tree
}

func place(folder string, tile tlog.Tile) string {
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
	return filepath.Join(folder, strings.Replace(path, "tile/data/", "tile/entries/", 1))
}

// files reads the log's tiles as a client of the sum database reads that one's.
type files string

func (folder files) Height() int                         { return height }
func (folder files) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (folder files) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		data = append(data, content(place(string(folder), tile)))
	}
	return data, nil
}

// hashes is the whole tree in memory, grown from the entries alone.
type hashes []tlog.Hash

func (stored hashes) ReadHashes(indexes []int64) (found []tlog.Hash, err error) {
	for _, index := range indexes {
		found = append(found, stored[index])
	}
	return found, nil
}

func wholeLog(key note.Verifier, arguments []string) {
	folder := arguments[0]
	tree := head(content(filepath.Join(folder, "checkpoint")), key)
	client := tlog.TileHashReader(tree, files(folder)) // believes no tile that the signed root does not vouch for
	var grown hashes
	for start := int64(0); start < tree.N; start += 1 << height {
		bundle := tlog.Tile{H: height, L: -1, N: start >> height, W: int(min(tree.N-start, 1<<height))}
		rest := content(place(folder, bundle))
		var indexes []int64
		var leaves []tlog.Hash
		for n := start; n < start+int64(bundle.W); n++ {
			if len(rest) < 2 || len(rest) < 2+int(binary.BigEndian.Uint16(rest)) {
				log.Fatalf("%s ends before entry %d", bundle.Path(), n)
			}
			size := int(binary.BigEndian.Uint16(rest))
			leaves = append(leaves, tlog.RecordHash(rest[2:2+size]))
			indexes = append(indexes, tlog.StoredHashIndex(0, n))
			rest = rest[2+size:]
		}
		if len(rest) > 0 {
			log.Fatalf("%s goes on behind its last entry", bundle.Path())
		}
		logged, err := client.ReadHashes(indexes)
		check(err)
		for i, leaf := range leaves {
			if logged[i] != leaf {
				log.Fatalf("entry %d is not the one whose hash is in the log", start+int64(i))
			}
			more, err := tlog.StoredHashesForRecordHash(start+int64(i), leaf, grown)
			check(err)
			grown = append(grown, more...)
		}
	}
	for name, reader := range map[string]tlog.HashReader{"entries": grown, "tiles": client} {
		root, err := tlog.TreeHash(tree.N, reader)
		check(err)
		if root != tree.Hash {
			log.Fatalf("the root of the %s is %v", name, root)
		}
	}
	for level := 0; tree.N>>(height*level) > 0; level++ { // every tile that this tree has, byte for byte
		for n, count := int64(0), tree.N>>(height*level); n<<height < count; n++ {
			tile := tlog.Tile{H: height, L: level, N: n, W: int(min(count-n<<height, 1<<height))}
			want, err := tlog.ReadTileData(tile, grown)
			check(err)
			if !bytes.Equal(content(place(folder, tile)), want) {
				log.Fatalf("%s is not the tile of these entries", tile.Path())
			}
		}
	}
	fmt.Println(tree.N)
}

func min(one, other int64) int64 {
	if one < other {
		return one
	}
	return other
}

// parseHashes reads base64, one hash per line.
func parseHashes(lines []string) (found []tlog.Hash) {
	for _, line := range lines {
		raw, err := base64.StdEncoding.Strict().DecodeString(line)
		check(err)
		var hash tlog.Hash
		if copy(hash[:], raw) != len(raw) || len(raw) != tlog.HashSize {
			log.Fatal("a hash is not of 32 bytes")
		}
		found = append(found, hash)
	}
	return found
}

func proof(key note.Verifier, arguments []string) {
	parts := strings.SplitN(string(content(arguments[0])), "\n\n", 2)
	lines := strings.Split(parts[0], "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		log.Fatal("no tlog-proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	check(err)
	tree := head([]byte(parts[1]), key)
	check(tlog.CheckRecord(parseHashes(lines[2:]), tree.N, tree.Hash, index, tlog.RecordHash(content(arguments[1]))))
	fmt.Println(index)
}

func extend(key note.Verifier, arguments []string) {
	older, newer := head(content(arguments[0]), key), head(content(arguments[1]), key)
	path := parseHashes(strings.Fields(string(content(arguments[2]))))
	check(tlog.CheckTree(path, newer.N, newer.Hash, older.N, older.Hash))
	fmt.Println(older.N, newer.N)
}

func signedNote(key note.Verifier, arguments []string) {
	fmt.Print(open(content(arguments[0]), key))
}
