{{/* Start of every name. */}}
{{- define "nanodex.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Name of the operator's Deployment, ServiceAccount, roles, Service and policies. */}}
{{- define "nanodex.operatorName" -}}
{{ include "nanodex.fullname" . }}-operator
{{- end -}}

{{/* Name of what says whose a token is. */}}
{{- define "nanodex.accessName" -}}
{{ include "nanodex.fullname" . }}-access
{{- end -}}

{{/* Labels that select Pods: they can never change. Argument: list of root and component. */}}
{{- define "nanodex.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of everything. Argument: list of root and component. */}}
{{- define "nanodex.labels" -}}
{{- $root := index . 0 -}}
{{ include "nanodex.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: nanodex
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* An image's whole name. Argument: list of root and one of operator, nanodex, trainer, engine. */}}
{{- define "nanodex.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.images (index . 1) -}}
{{- $name := printf "%s/%s" (default $root.Values.images.registry $image.registry) $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (coalesce $image.tag $root.Values.images.tag $root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The port on which the store answers, from the address of its server. */}}
{{- define "nanodex.storePort" -}}
{{- $url := urlParse .Values.artifacts.endpoint -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) -}}
{{- if $port -}}
{{- $port -}}
{{- else if eq $url.scheme "http" -}}
80
{{- else -}}
443
{{- end -}}
{{- end -}}

{{/* What every container of the chart runs with: PodSecurity's level restricted, and no writing. */}}
{{- define "nanodex.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What every Pod of the chart runs with. */}}
{{- define "nanodex.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The operator's settings: nanodex_operator/settings.py has a field for each. */}}
{{- define "nanodex.operatorEnv" -}}
- name: NANODEX_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
- name: NANODEX_IDENTITY
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: NANODEX_WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
- name: NANODEX_STORE
  value: {{ required "artifacts.url is missing: --set artifacts.url=s3://BUCKET/PREFIX" .Values.artifacts.url | quote }}
- name: NANODEX_STORE_ENDPOINT
  value: {{ .Values.artifacts.endpoint | quote }}
- name: NANODEX_STORE_CA_CONFIG_MAP
  value: {{ .Values.artifacts.caConfigMap | quote }}
{{- if .Values.artifacts.caConfigMap }}
- name: AWS_CA_BUNDLE
  value: /etc/nanodex/store-ca/ca.crt
{{- end }}
- name: NANODEX_STORE_PORTS
  value: {{ join "," .Values.networkPolicy.store.ports | quote }}
- name: NANODEX_SERVER_STORE_SECRET
  value: {{ .Values.artifacts.serverSecret }}
- name: NANODEX_NANODEX_IMAGE
  value: {{ include "nanodex.image" (list . "nanodex") }}
- name: NANODEX_TRAINER_IMAGE
  value: {{ include "nanodex.image" (list . "trainer") }}
- name: NANODEX_ENGINE_IMAGE
  value: {{ include "nanodex.image" (list . "engine") }}
- name: NANODEX_IMAGE_PULL_POLICY
  value: {{ .Values.images.pullPolicy }}
- name: NANODEX_IMAGE_PULL_SECRETS
  value: {{ join "," .Values.images.pullSecrets | quote }}
- name: NANODEX_JOB_TTL_SECONDS
  value: {{ .Values.operator.jobTtlSeconds | quote }}
- name: NANODEX_RESYNC_SECONDS
  value: {{ .Values.operator.resyncSeconds | quote }}
- name: NANODEX_CONCURRENCY
  value: {{ .Values.operator.concurrency | quote }}
- name: NANODEX_TOKEN_REVIEWS
  value: {{ if .Values.kubernetesAccess.enabled }}{{ printf "http://%s.%s.svc:8090" (include "nanodex.accessName" .) .Release.Namespace | quote }}{{ else }}""{{ end }}
- name: NANODEX_METRICS_PORT
  value: "9090"
- name: NANODEX_HEALTH_PORT
  value: "8080"
{{- end -}}
