{{/* Labels that select pods of a component: (dict "component" NAME). */}}
{{- define "haulout.selectorLabels" -}}
app.kubernetes.io/name: haulout
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of an object: (dict "root" $ "component" NAME), and "more" for labels of its own. */}}
{{- define "haulout.labels" -}}
{{- $own := include "haulout.selectorLabels" . | fromYaml }}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion }}
{{- merge $own (.more | default dict) .root.Values.labels | toYaml }}
{{- end }}

{{/* Image of a program: (dict "root" $ "component" NAME). */}}
{{- define "haulout.image" -}}
{{- $image := .root.Values.image }}
{{- $told := "image.registry: has to be set to where you pushed haulout-webhook and haulout-agent, such as registry.example.com/haulout; docs/images.md says how" }}
{{- $name := printf "%s/haulout-%s" (required $told $image.registry) .component }}
{{- with get $image.digests .component }}
{{- printf "%s@%s" $name . }}
{{- else }}
{{- printf "%s:%s" $name ($image.tag | default .root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* imagePullSecrets of a pod, or nothing. */}}
{{- define "haulout.pullSecrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}
