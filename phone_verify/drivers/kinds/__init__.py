"""What drivers of the same kind share. No module here is a scheme.

| module | for providers that |
|---|---|
| `json_api` | respond in JSON and name errors by a code |
| `remote_code` | generate and check the code |
| `template_sms` | put our code into a template of the site's account |
| `told_code` | generate the code and return it |
| `inbound_call` | name a line for the user to call |
| `signatures` | sign their webhooks |
| `signed_token` | sign their webhooks by a JWT |
| `basic_auth` | take a user and a password |
"""
