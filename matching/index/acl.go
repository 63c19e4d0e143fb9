package index

import (
	"fmt"
	"strings"
)

// User is what a role may do on the Redis server: which commands, on which keys. Nobody
// may run scripts, see other keys, or flush.
type User struct {
	Role     string   `json:"role"`
	Keys     string   `json:"keys"`
	Commands []string `json:"commands"`
}

// Users are those of the roles that come to Redis, and of operators. web asks only
// whether the index is whole.
func Users() []User {
	connect := []string{"auth", "hello", "ping", "select"}
	with := func(more ...string) []string { return append(append([]string{}, connect...), more...) }
	return []User{
		{"matcher", "cpis:*", with("get", "mget", "set", "watch", "unwatch", "multi", "exec", "discard", "scan", "unlink")},
		{"web", markerKey, with("mget")},
		{"operator", "cpis:*", with("mget", "del")},
	}
}

// Name is what Redis knows a user by.
func (u User) Name() string { return "cpis-" + u.Role }

// Rule is the user as ACL SETUSER takes it; password is what they prove themselves with.
func (u User) Rule(password string) string {
	return fmt.Sprintf("%s reset on >%s resetchannels ~%s -@all +%s", u.Name(), password, u.Keys, strings.Join(u.Commands, " +"))
}
