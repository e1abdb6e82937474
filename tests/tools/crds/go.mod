// The modules whose CustomResourceDefinitions the cluster suite installs. The comment behind a module names
// the directories of its CRD files; adding a module is adding a line here, and its sums to go.sum with
// `go mod download MODULE@VERSION`. There is no code, so `go mod tidy` would remove everything: do not run it.
module privatemaas.test/tools/crds

go 1.26.0

require (
	github.com/kserve/kserve v0.16.0 // config/crd/full config/crd/full/llmisvc
)
