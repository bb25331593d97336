//go:build documents

package main

import "github.com/siderolabs/talos/pkg/machinery/config"

// examineAPIServer for Talos from 1.14, where documents may stand in place of cluster.apiServer.
func examineAPIServer(provider config.Provider) *apiServer {
	server := provider.K8sAPIServerConfig()
	if server == nil {
		return nil
	}
	found := &apiServer{ExtraArgs: server.ExtraArgs(), UsesDocument: server.UseAuthenticationConfig()}
	if document := provider.K8sAuthenticationConfig(); document != nil {
		found.Authentication = document.Configuration()
	}
	return found
}
