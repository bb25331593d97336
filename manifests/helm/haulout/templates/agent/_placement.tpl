{{/* Files, user and group of the agent, as JSON: the preset's, and in place of them what the values say. */}}
{{- define "haulout.placement" -}}
{{- $presets := dict
  "kubeadm" (dict "certFile" "/etc/kubernetes/pki/ca.crt" "keyFile" "/etc/kubernetes/pki/ca.key"
    "runAsUser" 0 "runAsGroup" 0)
  "talos" (dict "certFile" "/system/secrets/kubernetes/kube-controller-manager/ca.crt"
    "keyFile" "/system/secrets/kubernetes/kube-controller-manager/ca.key" "runAsUser" 65535 "runAsGroup" 65535)
  "custom" (dict) }}
{{- $agent := .Values.agent }}
{{- $placement := get $presets $agent.preset }}
{{- range $field := list "certFile" "keyFile" "runAsUser" "runAsGroup" }}
{{- $value := get $agent $field }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
{{- $_ := set $placement $field $value }}
{{- else if not (hasKey $placement $field) }}
{{- fail (printf "agent.%s: has to be set with agent.preset custom; `haulout agent-values` prints it" $field) }}
{{- end }}
{{- end }}
{{- $placement | toJson }}
{{- end }}

{{/*
Fails where a control plane node plainly is not what the preset is made for. With the talos preset, whose mounts the kubelet cannot
check, a wrong node would get folders in place of the files. Only a live cluster can be looked at.
*/}}
{{- define "haulout.checkNodes" -}}
{{- $agent := .Values.agent }}
{{- if $agent.checkNodes }}
{{- $label := "node-role.kubernetes.io/control-plane" }}
{{- $role := get (include "haulout.agentNodeSelector" . | fromYaml) $label }}
{{- range (lookup "v1" "Node" "" "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- $os := dig "status" "nodeInfo" "osImage" "" . }}
{{- if and (hasKey $labels $label) (ne (get $labels $label) $role) }}
{{- fail (printf "agent.nodeSelector: has %s: %q, but the node %s has %q; set the value that control plane nodes have, or agent.checkNodes=false if it is right all the same" $label $role .metadata.name (get $labels $label)) }}
{{- end }}
{{- if and (ne $agent.preset "custom") (hasKey $labels $label) $os }}
{{- if ne (hasPrefix "Talos" $os) (eq $agent.preset "talos") }}
{{- fail (printf "agent.preset: is %s, but the control plane node %s runs %s; set agent.preset, or agent.checkNodes=false if it is right all the same" $agent.preset .metadata.name $os) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/*
A missing file is to be an event, not a new folder on the host. Talos' kubelet does not see these files, so it cannot check them.
*/}}
{{- define "haulout.hostPathType" -}}
{{- if ne .Values.agent.preset "talos" -}}
type: File
{{- end }}
{{- end }}

{{/* Labels of the nodes that the agent runs on. */}}
{{- define "haulout.agentNodeSelector" -}}
{{- merge (dict) .Values.agent.nodeSelector (dict "node-role.kubernetes.io/control-plane" "") | toYaml }}
{{- end }}

{{/* Arguments of the agent, a list. */}}
{{- define "haulout.agentArguments" -}}
- --ca-cert=/etc/haulout/signing/ca.crt
- --ca-key=/etc/haulout/signing/ca.key
- --policy=/etc/haulout/policy/policy.yaml
- --tls-cert=/etc/haulout/tls/tls.crt
- --tls-key=/etc/haulout/tls/tls.key
- --client-ca=/etc/haulout/tls/ca.crt
- --least-life-seconds={{ int64 .Values.agent.leastLifeSeconds }}
{{- end }}
