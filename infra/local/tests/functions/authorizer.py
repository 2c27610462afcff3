"""A REQUEST authorizer: the token is the decision."""


def handler(event, _context):
    token = event["headers"]["authorization"]
    if token == "throw":
        raise Exception("Unauthorized")
    effect = "Allow" if token == "allow" else "Deny"
    context = {"tenant_id": "acme", "limit": 3} if effect == "Allow" else {"error": f"token {token} is suspended"}
    resource = event["methodArn"].split("/")[0] + "/*/*"
    return {
        "principalId": f"acme|{token}",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}],
        },
        "context": context,
    }
