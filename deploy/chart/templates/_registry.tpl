{{- /* How a process reaches the registry's database: the password by a variable that libpq reads. */ -}}
{{- define "meshport.registry.env" -}}
- name: HOME
  value: /tmp
{{ include "meshport.registry.database" . }}
{{- end -}}

{{- define "meshport.registry.database" -}}
- name: MESHPORT_REGISTRY_DATABASE
  value: {{ .Values.registry.database.url | quote }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.registry.database.password.secret }}
      key: {{ .Values.registry.database.password.key | default "password" }}
{{- end -}}
