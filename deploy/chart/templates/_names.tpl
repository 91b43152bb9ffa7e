{{- /* The name of what this release has one of: (list $ "registry"). */ -}}
{{- define "meshport.name" -}}
{{- $root := index . 0 -}}
{{- printf "%s-%s" $root.Release.Name (index . 1) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* The name of a process of the project: (list $ kind entry). 52 letters leave room for what Kubernetes adds to it. */ -}}
{{- define "meshport.process.name" -}}
{{- $root := index . 0 -}}{{- $entry := index . 2 -}}
{{- $name := printf "%s-%s" $root.Release.Name ($entry.name | default ($entry.address | default "" | replace "/" "-")) -}}
{{- if gt (len $name) 52 -}}
{{- fail (printf "%s: %s is a name of %d letters, Kubernetes takes 52: give the entry a shorter `name`" (index . 1) $name (len $name)) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- /* Labels that select the pods of a component: (list $ component name). */ -}}
{{- define "meshport.selector" -}}
app.kubernetes.io/name: meshport
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
meshport/process: {{ index . 2 }}
{{- end -}}

{{- /* Labels of an object: (list $ component name). */ -}}
{{- define "meshport.labels" -}}
{{- $root := index . 0 -}}
{{ include "meshport.selector" . }}
app.kubernetes.io/version: {{ $root.Values.image.tag | default $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "meshport.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{- /* Where browsers reach the registry from outside; "" where the values do not say. */ -}}
{{- define "meshport.registry.publicUrl" -}}
{{- if .Values.registry.publicUrl -}}
{{- .Values.registry.publicUrl -}}
{{- else if and .Values.registry.ingress.enabled .Values.registry.ingress.host -}}
{{- printf "https://%s" .Values.registry.ingress.host -}}
{{- end -}}
{{- end -}}

{{- define "meshport.registry.url" -}}
{{- if .Values.registryUrl -}}
{{- .Values.registryUrl -}}
{{- else -}}
{{- $scheme := ternary "https" "http" (ne .Values.registry.tls.secret "") -}}
{{- printf "%s://%s.%s.svc:%d" $scheme (include "meshport.name" (list . "registry")) .Release.Namespace (int .Values.registry.service.port) -}}
{{- end -}}
{{- end -}}

{{- /* What values.schema.json cannot say: values that do not go together. */ -}}
{{- define "meshport.check" -}}
{{- $values := .Values -}}
{{- $processes := concat $values.processors $values.sources -}}
{{- if and $values.project.image $values.project.volume -}}
{{- fail "project: `image` and `volume` are two projects; name one" -}}
{{- end -}}
{{- if and $processes (not $values.project.image) (not $values.project.volume) -}}
{{- fail "processors and sources run in a mesh project: `project.image` is an image that has it at /mesh, `project.volume` a volume with it" -}}
{{- end -}}
{{- if not $values.registry.enabled -}}
{{- if $values.changes.enabled -}}
{{- fail "changes: they are published from the registry's database: enable `registry`, or `changes` in the release that has it" -}}
{{- end -}}
{{- if and (or $processes $values.relays $values.observer.enabled $values.project.image $values.project.volume) (not $values.registryUrl) -}}
{{- fail "registryUrl: without a registry of its own (`registry.enabled`) this release needs the URL of one" -}}
{{- end -}}
{{- end -}}
{{- include "meshport.check.database" (list "registry.database" $values.registry.database) -}}
{{- range $values.relays -}}
{{- include "meshport.check.database" (list (printf "relays: %s" .name) .database) -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $kind, $entries := dict "processors" $values.processors "sources" $values.sources "relays" $values.relays -}}
{{- range $entry := $entries -}}
{{- $name := include "meshport.process.name" (list $ $kind $entry) -}}
{{- if or (hasKey $seen $name) (has $name (list (include "meshport.name" (list $ "registry")) (include "meshport.name" (list $ "members")) (include "meshport.name" (list $ "changes")) (include "meshport.name" (list $ "observer")))) -}}
{{- fail (printf "%s: two parts of this release would be named %s: give the entry another `name`" $kind $name) -}}
{{- end -}}
{{- $_ := set $seen $name true -}}
{{- $key := ($entry.registryKey | default dict).secret | default $values.registryKey.secret -}}
{{- if and $key (hasPrefix "http://" (include "meshport.registry.url" $)) -}}
{{- fail (printf "%s: %s has an API key, which no process shows to a registry over HTTP: `registry.tls.secret`, or a `registryUrl` of https" $kind $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $kind := list "changes" "observer" -}}
{{- $entry := index $values $kind -}}
{{- if and $entry.enabled ($entry.registryKey.secret | default $values.registryKey.secret) (hasPrefix "http://" (include "meshport.registry.url" $)) -}}
{{- fail (printf "%s has an API key, which no process shows to a registry over HTTP: `registry.tls.secret`, or a `registryUrl` of https" $kind) -}}
{{- end -}}
{{- end -}}
{{- if and (ne $values.registry.oidc.issuer "") (eq $values.registry.oidc.audience "") -}}
{{- fail "registry.oidc: `issuer` needs `audience`, which the claim aud of its tokens must have" -}}
{{- end -}}
{{- if and (ne $values.registry.oidc.client.id "") (or (eq $values.registry.oidc.issuer "") (eq (include "meshport.registry.publicUrl" .) "")) -}}
{{- fail "registry.oidc.client: `id` needs `registry.oidc.issuer`, where people log in, and `registry.publicUrl` or an ingress, where they come back to" -}}
{{- end -}}
{{- if and (ne $values.registry.oidc.client.secret "") (eq $values.registry.oidc.client.id "") -}}
{{- fail "registry.oidc.client: `secret` needs `id`" -}}
{{- end -}}
{{- if and $values.registry.tls.clientCertificates (not $values.registry.tls.secret) -}}
{{- fail "registry.tls: `clientCertificates` needs `secret`: there are none over HTTP" -}}
{{- end -}}
{{- if and $values.registry.ingress.enabled (not $values.registry.ingress.host) -}}
{{- fail "registry.ingress: `enabled` needs `host`" -}}
{{- end -}}
{{- if and $values.registry.backup.enabled (not $values.registry.backup.claim) -}}
{{- fail "registry.backup: `enabled` needs `claim`, a PersistentVolumeClaim of the namespace" -}}
{{- end -}}
{{- end -}}

{{- /* A database's URL, whose error does not show it: (list where database). */ -}}
{{- define "meshport.check.database" -}}
{{- $url := (index . 1).url -}}
{{- if regexMatch "^[^/]*//[^/@]*:[^/@]*@|[?&]password=" $url -}}
{{- fail (printf "%s: `url` has a password, which values never hold: leave it out, and name the Secret that has it in `password`" (index . 0)) -}}
{{- end -}}
{{- if not (regexMatch "^postgresql://[^/ ]+/[^/ ]+$" $url) -}}
{{- fail (printf "%s: `url` is postgresql://USER@HOST/NAME: pods share no file, so there is no SQLite here" (index . 0)) -}}
{{- end -}}
{{- end -}}
