package rowhook

import "strings"

// Open returns a client of the rowhook at url, such as https://hooks.example.com, with the token of an owner or of an
// operator. Where rowhook follows several databases, the URL ends with /databases/NAME.
func Open(url, token string) *APIClient {
	configuration := NewConfiguration()
	configuration.Servers = ServerConfigurations{{URL: strings.TrimSuffix(url, "/")}}
	configuration.AddDefaultHeader("Authorization", "Bearer "+token)
	return NewAPIClient(configuration)
}
