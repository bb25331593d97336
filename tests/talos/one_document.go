//go:build !documents

package main

import "github.com/siderolabs/talos/pkg/machinery/config"

// examineAPIServer for Talos up to 1.13, which knows nothing but cluster.apiServer.
func examineAPIServer(provider config.Provider) *apiServer {
	return &apiServer{ExtraArgs: provider.Cluster().APIServer().ExtraArgs()}
}
