{{/* "on" where the direct endpoint is, and an error where its values cannot work together. */}}
{{- define "haulout.direct" -}}
{{- $direct := .Values.directEndpoint }}
{{- if $direct.externalUrl }}
{{- include "haulout.directChecks" $direct }}on
{{- else if or $direct.tlsSecretName $direct.certificateAuthorityData $direct.trustedProxies $direct.ingress.enabled $direct.gateway.kind }}
{{- fail "directEndpoint.externalUrl: has to be set with other values of directEndpoint; it is the URL by which clients reach it" }}
{{- end }}
{{- end }}

{{- define "haulout.directChecks" }}
{{- $url := urlParse .externalUrl }}
{{- $service := .service }}
{{- $exposed := has $service.type (list "NodePort" "LoadBalancer") }}
{{- if and (not $exposed) (or $service.nodePort $service.externalTrafficPolicy) }}
{{- fail "directEndpoint.service.type: has to be NodePort or LoadBalancer with nodePort or externalTrafficPolicy" }}
{{- end }}
{{- if and (ne $service.type "LoadBalancer") (or $service.loadBalancerClass $service.loadBalancerSourceRanges) }}
{{- fail "directEndpoint.service.type: has to be LoadBalancer with loadBalancerClass or loadBalancerSourceRanges" }}
{{- end }}
{{- if and .gateway.kind (not .gateway.parentRefs) }}
{{- fail "directEndpoint.gateway.parentRefs: has to name the Gateway that the route belongs to" }}
{{- end }}
{{- if and .gateway.backendCAConfigMap (ne .gateway.kind "HTTPRoute") }}
{{- fail "directEndpoint.gateway.backendCAConfigMap: is for kind HTTPRoute; with a TLSRoute the Gateway sees no certificate" }}
{{- end }}
{{- if and (or .ingress.enabled .gateway.kind) (regexMatch "^[0-9.]+$|:" $url.hostname) }}
{{- fail (printf "directEndpoint.externalUrl: has to have a DNS name behind an Ingress or Gateway, not the address %s" $url.hostname) }}
{{- end }}
{{- $passes := or (eq .gateway.kind "TLSRoute") (and .ingress.enabled (include "haulout.passesThrough" .ingress.annotations)) }}
{{- if and $passes .trustedProxies }}
{{- fail "directEndpoint.trustedProxies: has to be empty where TLS is passed through, since X-Forwarded-For is then the client's own" }}
{{- end }}
{{- $terminates := list }}
{{- if and .ingress.enabled (not (include "haulout.passesThrough" .ingress.annotations)) }}
{{- $terminates = append $terminates "the Ingress" }}
{{- end }}
{{- if eq .gateway.kind "HTTPRoute" }}
{{- $terminates = append $terminates "the Gateway" }}
{{- end }}
{{- range $terminates }}
{{- if not $.certificateAuthorityData }}
{{- fail (printf "directEndpoint.certificateAuthorityData: has to be set, since clients see the certificate of %s; give the CA of that, PEM in base64, or public where they know it already" .) }}
{{- end }}
{{- if not (has $url.path (list "" "/")) }}
{{- fail (printf "directEndpoint.externalUrl: has to be without the path %s, which %s would not take off" $url.path .) }}
{{- end }}
{{- end }}
{{- end }}

{{/* "yes" where annotations of an Ingress have it pass TLS through. */}}
{{- define "haulout.passesThrough" -}}
{{- range $key, $value := . }}
{{- if and (hasSuffix "/ssl-passthrough" $key) (eq $value "true") }}yes{{ end }}
{{- end }}
{{- end }}

{{/* The only path that is served. */}}
{{- define "haulout.loginPath" -}}
/apis/login.concierge.{{ .Values.apiGroupSuffix }}/v1alpha1/tokencredentialrequests
{{- end }}
