// The modules whose CustomResourceDefinitions the cluster suite installs. The comment behind a module names
// the directories of its CRD files; adding a module is adding a line here, and its sums to go.sum with
// `go mod download MODULE@VERSION`. There is no code, so `go mod tidy` would remove everything: do not run it.
module privatemaas.test/tools/crds

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2 // deploy/crds
	github.com/envoyproxy/gateway v1.9.1 // charts/gateway-helm/charts/crds/crds/generated
	github.com/kserve/kserve v0.16.0 // config/crd/full config/crd/full/llmisvc
	github.com/kuadrant/authorino v0.22.0 // install/crd
	github.com/kuadrant/authorino-operator v0.21.0 // config/crd/bases
	github.com/kuadrant/kuadrant-operator v1.5.2 // config/crd/bases
	github.com/kuadrant/limitador-operator v0.15.0 // config/crd/bases
	github.com/openshift/api v0.0.0-20250710004639-926605d3338b // console/v1/zz_generated.crd-manifests route/v1/zz_generated.crd-manifests
	github.com/operator-framework/api v0.30.0 // crds
	github.com/prometheus-operator/prometheus-operator v0.85.0 // example/prometheus-operator-crd
	istio.io/api v1.31.4 // kubernetes
	knative.dev/operator v0.42.2 // config/crd/bases
	sigs.k8s.io/gateway-api v1.4.0 // config/crd/standard
	sigs.k8s.io/lws v0.7.0 // config/crd/bases
)
