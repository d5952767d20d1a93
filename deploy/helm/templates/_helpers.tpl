{{- define "rowhook.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "rowhook.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "rowhook.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "rowhook.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "rowhook.selector" -}}
app.kubernetes.io/name: {{ include "rowhook.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rowhook.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "rowhook.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "rowhook.secret" -}}
{{- if .Values.existingSecret -}}
{{- .Values.existingSecret -}}
{{- else if .Values.secret -}}
{{- include "rowhook.fullname" . -}}
{{- end -}}
{{- end -}}

{{- define "rowhook.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* hooks.toml, with the section of the cluster if there is one. */}}
{{- define "rowhook.config" -}}
{{ .Values.config }}
{{- if .Values.cluster.enabled }}

[cluster]
nats = {{ required "cluster.nats names the servers of NATS" .Values.cluster.nats | quote }}
{{- if .Values.cluster.credentialsSecret }}
credentials = "/etc/rowhook/nats/rowhook.creds"
{{- end }}
{{- range $key, $value := .Values.cluster.settings }}
{{ $key }} = {{ $value | toJson }}
{{- end }}
{{- end }}
{{- end }}
