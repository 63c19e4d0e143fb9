package embedded

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
)

// maxSchemaBody is the largest request body the registry reads, in bytes.
const maxSchemaBody = 1 << 20

const (
	levelGuarded = "BACKWARD_TRANSITIVE" // Config.Compatible decides
	levelNone    = "NONE"                // without it nothing does
)

// apiError is Confluent's form of a refusal: an HTTP status and a code that says more.
type apiError struct {
	status  int
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

func (e *apiError) Error() string { return e.Message }

// routes is the part of Confluent's REST interface that its clients use to write and read data. What would rewrite
// history (deleting, modes, weaker compatibility) is left out or refused.
func (r *registry) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, answer := range map[string]func(*http.Request) (any, error){
		"GET /schemas/types":                                        r.getTypes,
		"GET /schemas/ids/{id}":                                     r.getByID,
		"GET /schemas/ids/{id}/versions":                            r.getUses,
		"GET /schemas/ids/{id}/subjects":                            r.getUsers,
		"GET /subjects":                                             r.getSubjects,
		"POST /subjects/{subject}":                                  r.postLookup,
		"GET /subjects/{subject}/versions":                          r.getVersions,
		"POST /subjects/{subject}/versions":                         r.postVersion,
		"GET /subjects/{subject}/versions/{version}":                r.getVersion,
		"POST /compatibility/subjects/{subject}/versions":           r.postCompatible,
		"POST /compatibility/subjects/{subject}/versions/{version}": r.postCompatible,
		"GET /config":                                               r.getConfig,
		"GET /config/{subject}":                                     r.getConfig,
		"PUT /config":                                               r.putConfig,
		"PUT /config/{subject}":                                     r.putConfig,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) {
			req.Body = http.MaxBytesReader(w, req.Body, maxSchemaBody)
			reply(w, req, answer)
		})
	}
	for pattern, schema := range map[string]func(*http.Request) (string, error){
		"GET /schemas/ids/{id}/schema":                      r.textByID,
		"GET /subjects/{subject}/versions/{version}/schema": r.textByVersion,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) {
			reply(w, req, func(*http.Request) (any, error) {
				text, err := schema(req)
				return json.RawMessage(text), err
			})
		})
	}
	return mux
}

// reply writes what answer returns, as JSON.
func reply(w http.ResponseWriter, req *http.Request, answer func(*http.Request) (any, error)) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	body, err := answer(req)
	if err != nil {
		refusal := refusalFor(err)
		w.WriteHeader(refusal.status)
		body = refusal
	}
	// An error here means that the client has gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(body)
}

// refusalFor gives an error the status and code a Confluent client expects.
func refusalFor(err error) *apiError {
	var known *apiError
	if errors.As(err, &known) {
		return known
	}
	for _, row := range []struct {
		is           error
		status, code int
	}{
		{errNoSubject, http.StatusNotFound, 40401},
		{errNoVersion, http.StatusNotFound, 40402},
		{errNoSchema, http.StatusNotFound, 40403},
		{errBadSchema, http.StatusUnprocessableEntity, 42201},
		{errIncompatible, http.StatusConflict, 409},
		{errRegistryFull, http.StatusInsufficientStorage, 50701},
	} {
		if errors.Is(err, row.is) {
			return &apiError{row.status, row.code, err.Error()}
		}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &apiError{http.StatusRequestEntityTooLarge, 413, "request body is larger than 1 MiB"}
	}
	return &apiError{http.StatusInternalServerError, 50001, err.Error()}
}

// readSchema takes the schema out of a request body.
func readSchema(req *http.Request) (string, error) {
	var body struct {
		Schema     string            `json:"schema"`
		SchemaType string            `json:"schemaType"`
		References []json.RawMessage `json:"references"`
	}
	if err := readBody(req, &body); err != nil {
		return "", err
	}
	if body.SchemaType != "" && body.SchemaType != "AVRO" {
		return "", &apiError{http.StatusUnprocessableEntity, 42201, "only schema type AVRO is kept here"}
	}
	if len(body.References) > 0 {
		return "", &apiError{http.StatusUnprocessableEntity, 42201, "schema references are not supported"}
	}
	return body.Schema, nil
}

// readBody decodes a JSON request body into v.
func readBody(req *http.Request, v any) error {
	err := json.NewDecoder(req.Body).Decode(v)
	var large *http.MaxBytesError
	if err == nil || errors.As(err, &large) {
		return err
	}
	return &apiError{http.StatusBadRequest, 400, "request body is not the JSON object expected"}
}

// versionNumber reads the version in the path: a number from 1, or "latest" or -1, which give 0.
func versionNumber(req *http.Request) (int, error) {
	text := req.PathValue("version")
	if text == "latest" || text == "-1" {
		return 0, nil
	}
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return n, nil
	}
	return 0, &apiError{http.StatusUnprocessableEntity, 42202, `version is neither a number from 1 nor "latest"`}
}

func (r *registry) getTypes(*http.Request) (any, error) { return []string{"AVRO"}, nil }

func (r *registry) textByID(req *http.Request) (string, error) {
	id, err := strconv.Atoi(req.PathValue("id"))
	if err != nil {
		return "", errNoSchema
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if id < 1 || id > len(r.state.Schemas) {
		return "", errNoSchema
	}
	return r.state.Schemas[id-1], nil
}

func (r *registry) getByID(req *http.Request) (any, error) {
	schema, err := r.textByID(req)
	return map[string]string{"schema": schema}, err
}

// uses lists the subjects and versions that have the schema of the path's id, ordered by subject.
func (r *registry) uses(req *http.Request) ([]subjectVersion, error) {
	if _, err := r.textByID(req); err != nil {
		return nil, err
	}
	id, _ := strconv.Atoi(req.PathValue("id")) // textByID has read it
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []subjectVersion
	for _, subject := range r.subjects() {
		if i := slices.Index(r.state.Subjects[subject], id); i >= 0 {
			out = append(out, subjectVersion{Subject: subject, Version: i + 1})
		}
	}
	return out, nil
}

func (r *registry) getUses(req *http.Request) (any, error) {
	uses, err := r.uses(req)
	out := make([]map[string]any, 0, len(uses))
	for _, u := range uses {
		out = append(out, map[string]any{"subject": u.Subject, "version": u.Version})
	}
	return out, err
}

func (r *registry) getUsers(req *http.Request) (any, error) {
	uses, err := r.uses(req)
	out := make([]string, 0, len(uses))
	for _, u := range uses {
		out = append(out, u.Subject)
	}
	return out, err
}

// subjects lists the subjects in order. The caller holds mu.
func (r *registry) subjects() []string {
	out := make([]string, 0, len(r.state.Subjects))
	for subject := range r.state.Subjects {
		out = append(out, subject)
	}
	slices.Sort(out)
	return out
}

func (r *registry) getSubjects(*http.Request) (any, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.subjects(), nil
}

func (r *registry) postLookup(req *http.Request) (any, error) {
	schema, err := readSchema(req)
	if err != nil {
		return nil, err
	}
	if schema, err = compactSchema(schema); err != nil {
		return nil, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.find(req.PathValue("subject"), schema)
}

func (r *registry) getVersions(req *http.Request) (any, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids, ok := r.state.Subjects[req.PathValue("subject")]
	if !ok {
		return nil, errNoSubject
	}
	out := make([]int, len(ids))
	for i := range ids {
		out[i] = i + 1
	}
	return out, nil
}

func (r *registry) postVersion(req *http.Request) (any, error) {
	schema, err := readSchema(req)
	if err != nil {
		return nil, err
	}
	id, err := r.register(req.PathValue("subject"), schema)
	return map[string]int{"id": id}, err
}

func (r *registry) getVersion(req *http.Request) (any, error) {
	n, err := versionNumber(req)
	if err != nil {
		return nil, err
	}
	return r.version(req.PathValue("subject"), n)
}

func (r *registry) textByVersion(req *http.Request) (string, error) {
	n, err := versionNumber(req)
	if err != nil {
		return "", err
	}
	v, err := r.version(req.PathValue("subject"), n)
	return v.Schema, err
}

// postCompatible asks, without registering, whether a schema would be accepted. The rule is transitive, so the
// version in the path must exist but does not narrow the question.
func (r *registry) postCompatible(req *http.Request) (any, error) {
	schema, err := readSchema(req)
	if err != nil {
		return nil, err
	}
	if schema, err = compactSchema(schema); err != nil {
		return nil, err
	}
	subject := req.PathValue("subject")
	if req.PathValue("version") != "" {
		n, err := versionNumber(req)
		if err != nil {
			return nil, err
		}
		if _, err := r.version(subject, n); err != nil {
			return nil, err
		}
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if err := r.check(subject, schema); err != nil {
		return map[string]any{"is_compatible": false, "messages": []string{err.Error()}}, nil
	}
	return map[string]any{"is_compatible": true}, nil
}

// level is the one compatibility rule in force.
func (r *registry) level() string {
	if r.compatible == nil {
		return levelNone
	}
	return levelGuarded
}

func (r *registry) getConfig(*http.Request) (any, error) {
	return map[string]string{"compatibilityLevel": r.level()}, nil
}

// putConfig accepts the rule that is in force and refuses any other: it would be agreed to and not kept.
func (r *registry) putConfig(req *http.Request) (any, error) {
	var body struct {
		Compatibility string `json:"compatibility"`
	}
	if err := readBody(req, &body); err != nil {
		return nil, err
	}
	if body.Compatibility != r.level() {
		return nil, &apiError{http.StatusUnprocessableEntity, 42203, "the compatibility level is " + r.level() + " and cannot be changed"}
	}
	return body, nil
}
