{{- /* Every pod has these; none talks to Kubernetes' API. (list $ component name replicas grace) */ -}}
{{- define "meshport.pod" -}}
{{- $root := index . 0 -}}{{- $values := $root.Values -}}
automountServiceAccountToken: false
{{- with $values.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
{{- with $values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ index . 4 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- if gt (int (index . 3)) 1 }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    {{- /* Nodes without a zone are those of a cluster in one zone. */}}
    whenUnsatisfiable: {{ ternary $values.spread "ScheduleAnyway" (eq . "kubernetes.io/hostname") }}
    labelSelector:
      matchLabels:
        {{- include "meshport.selector" (list $root (index $ 1) (index $ 2)) | nindent 8 }}
  {{- end }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- /* Labels and annotations of a pod: (list $ component name measured). */ -}}
{{- define "meshport.pod.metadata" -}}
{{- $values := (index . 0).Values -}}
labels:
  {{- include "meshport.selector" (list (index . 0) (index . 1) (index . 2)) | nindent 2 }}
  {{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := dict -}}
{{- if and (index . 3) $values.metrics.annotations -}}
{{- $annotations = dict "prometheus.io/scrape" "true" "prometheus.io/port" "9100" "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{- with mergeOverwrite $annotations $values.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "meshport.container.security" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Probes of a process that serves its metrics: it runs; it is ready. */ -}}
{{- define "meshport.probes" -}}
ports:
  - name: metrics
    containerPort: 9100
livenessProbe:
  httpGet: {path: /health, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /ready, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
startupProbe:
  httpGet: {path: /health, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 60
{{- end -}}

{{- /* A process of the project: (list $ entry); `entry` may have its own registryKey and kafka. */ -}}
{{- define "meshport.client.env" -}}
{{- $root := index . 0 -}}{{- $values := $root.Values -}}{{- $entry := index . 1 -}}
- name: HOME
  value: /tmp
- name: MESHPORT_REGISTRY
  value: {{ include "meshport.registry.url" $root | quote }}
{{- if include "meshport.client.ca" $root }}
- name: MESHPORT_REGISTRY_CA
  value: /etc/meshport/registry/ca.crt
{{- end }}
{{- $own := $entry.registryKey | default dict -}}
{{- $key := ternary $own $values.registryKey (ne ($own.secret | default "") "") -}}
{{- if $key.secret }}
- name: MESHPORT_REGISTRY_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ $key.secret }}
      key: {{ $key.key | default "token" }}
{{- end }}
{{- if include "meshport.client.kafka" . }}
- name: MESHPORT_KAFKA_CONFIG
  value: /etc/meshport/kafka/client.properties
{{- end }}
- name: MESHPORT_KAFKA_REPLICATION_FACTOR
  value: {{ $values.kafka.replicationFactor | quote }}
{{- with $values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "meshport.client.ca" -}}
{{- $ca := .Values.registryCa.secret -}}
{{- if and (not $ca) .Values.registry.enabled (not .Values.registryUrl) -}}
{{- $ca = .Values.registry.tls.secret -}}
{{- end -}}
{{- $ca -}}
{{- end -}}

{{- define "meshport.client.kafka" -}}
{{- ((index . 1).kafka | default dict).secret | default (index . 0).Values.kafka.secret -}}
{{- end -}}

{{- define "meshport.client.mounts" -}}
{{- $root := index . 0 -}}
- name: tmp
  mountPath: /tmp
{{- if $root.Values.project.volume }}
- name: project
  mountPath: /mesh
  readOnly: true
{{- end }}
{{- if include "meshport.client.ca" $root }}
- name: registry-ca
  mountPath: /etc/meshport/registry
  readOnly: true
{{- end }}
{{- if include "meshport.client.kafka" . }}
- name: kafka
  mountPath: /etc/meshport/kafka
  readOnly: true
{{- end }}
{{- with $root.Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "meshport.client.volumes" -}}
{{- $root := index . 0 -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- with $root.Values.project.volume }}
- name: project
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "meshport.client.ca" $root }}
- name: registry-ca
  secret:
    secretName: {{ . }}
    # The certificate of the authority alone: the Secret of a registry has its private key as well.
    items:
      - key: {{ $root.Values.registryCa.key }}
        path: ca.crt
    defaultMode: 0440
{{- end }}
{{- with include "meshport.client.kafka" . }}
- name: kafka
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with $root.Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The container of a process of the project: (list $ kind entry arguments). */ -}}
{{- define "meshport.process.container" -}}
{{- $root := index . 0 -}}{{- $values := $root.Values -}}{{- $entry := index . 2 -}}
{{- $own := has (index . 1) (list "changes" "observer") -}}
name: {{ index . 1 }}
image: {{ ternary "" $values.project.image $own | default (include "meshport.image" $root) }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args: {{- toYaml (index . 3) | nindent 2 }}
env:
  {{- include "meshport.client.env" (list $root $entry) | nindent 2 }}
  {{- with $entry.database }}
  - name: MESHPORT_OUTBOX_DATABASE
    value: {{ .url | quote }}
  - name: PGPASSWORD
    valueFrom:
      secretKeyRef:
        name: {{ .password.secret }}
        key: {{ .password.key | default "password" }}
  {{- end }}
  {{- if eq (index . 1) "changes" }}
  {{- include "meshport.registry.database" $root | nindent 2 }}
  {{- end }}
  {{- if eq (index . 1) "processor" }}
  # The name of the pod outlives the pod: its successor gets the partitions back at once (KIP-345).
  - name: MESHPORT_MEMBER
    valueFrom:
      fieldRef: {fieldPath: metadata.name}
  {{- end }}
{{- if not (eq (index . 1) "apply") }}
{{ include "meshport.probes" $root }}
{{- end }}
resources: {{- toYaml ($entry.resources | default $values.resources) | nindent 2 }}
{{ include "meshport.container.security" $root }}
volumeMounts:
  {{- include "meshport.client.mounts" (list $root $entry) | nindent 2 }}
{{- end -}}
