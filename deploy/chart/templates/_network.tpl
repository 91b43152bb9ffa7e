{{- /* What pods may reach, where that is limited. */ -}}
{{- define "meshport.egress" -}}
{{- with .Values.networkPolicy.egress }}
egress:
  - ports:
      - {port: 53, protocol: UDP}
      - {port: 53, protocol: TCP}
  - to:
      - podSelector:
          matchLabels:
            {{- include "meshport.selector" (list $ "registry" "registry") | nindent 12 }}
    ports:
      - {port: api, protocol: TCP}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
