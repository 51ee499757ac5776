{{/* The chart's name, or what the user calls it. */}}
{{- define "skyy-command.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of everything that is made once: the release's, with the chart's where that does not say it already. */}}
{{- define "skyy-command.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "skyy-command.serviceAccountName" -}}
{{- default (include "skyy-command.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* By these the Service, the budget and the policy find the pods; they never change. */}}
{{- define "skyy-command.selectorLabels" -}}
app.kubernetes.io/name: {{ include "skyy-command.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "skyy-command.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "skyy-command.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "skyy-command.image" -}}
{{- $tagged := printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $tagged .Values.image.digest -}}
{{- else -}}
{{- $tagged -}}
{{- end -}}
{{- end -}}
