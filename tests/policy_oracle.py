"""A reference evaluator of IAM policies, written independently of the one in the program.

It follows "Policy evaluation logic" of the IAM User Guide for requests within one account, in the
plainest possible way, for the part of the language that `random_case` writes: wildcards in actions and resources,
`NotAction`, `NotResource`, and a handful of condition operators.
"""

import random
import re

ALLOWED, EXPLICIT, IMPLICIT = "allowed", "explicitDeny", "implicitDeny"


def listed(value):
    return value if isinstance(value, list) else [value]


def like(pattern, text, fold=False):
    """Shell wildcards: `*` for any run, `?` for one character."""
    expression = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(expression, text, re.S | (re.I if fold else 0)) is not None


def any_like(patterns, text, fold=False):
    return any(like(pattern, text, fold) for pattern in listed(patterns))


def condition_holds(operator, key, wanted, context):
    """One key of one operator; a missing key fails it, unless the operator says otherwise."""
    have = {k.lower(): v for k, v in context.items()}.get(key.lower())
    if operator == "Null":
        return (have is None) == (listed(wanted)[0] == "true")
    optional = operator.endswith("IfExists")
    operator = operator.removesuffix("IfExists")
    for quantifier, test in (("ForAllValues:", all), ("ForAnyValue:", any)):
        if operator.startswith(quantifier):
            inner = operator.removeprefix(quantifier)
            if have is None:
                return optional or quantifier == "ForAllValues:"
            return test(compare(inner, value, listed(wanted)) for value in listed(have))
    if have is None:
        # A negated operator holds for a key that isn't there.
        return optional or operator in ("StringNotEquals", "StringNotLike")
    return compare(operator, listed(have)[0], listed(wanted))


def compare(operator, value, wanted):
    return {
        "StringEquals": lambda: value in wanted,
        "StringNotEquals": lambda: value not in wanted,
        "StringLike": lambda: any_like(wanted, value),
        "StringNotLike": lambda: not any_like(wanted, value),
        "NumericLessThan": lambda: any(float(value) < float(w) for w in wanted),
        "Bool": lambda: value.lower() in [w.lower() for w in wanted],
    }[operator]()


def speaks_of(statement, action, resource, context):
    if "Action" in statement:
        about_action = any_like(statement["Action"], action, fold=True)
    else:
        about_action = not any_like(statement["NotAction"], action, fold=True)
    if "Resource" in statement:
        about_resource = any_like(statement["Resource"], resource)
    else:
        about_resource = not any_like(statement["NotResource"], resource)
    return about_action and about_resource and all(
        condition_holds(operator, key, wanted, context)
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def effects(policies, action, resource, context):
    return {
        statement["Effect"]
        for policy in policies
        for statement in listed(policy["Statement"])
        if speaks_of(statement, action, resource, context)
    }


def decide(identity, boundary, action, resource, context, session=None):
    """`identity` is a list of policies, `boundary` one or None, `session` a list or None."""
    sides = [effects(identity, action, resource, context)]
    if boundary is not None:
        sides.append(effects([boundary], action, resource, context))
    if session is not None:
        sides.append(effects(session, action, resource, context))
    if any("Deny" in side for side in sides):
        return EXPLICIT
    return ALLOWED if all("Allow" in side for side in sides) else IMPLICIT


# What random policies are made of. All actions work on one user and are harmless, so that the
# same combination can be tried for real.
ACTIONS = ["iam:GetUser", "iam:ListAccessKeys", "iam:ListUserTags", "iam:ListUserPolicies",
           "iam:ListAttachedUserPolicies", "iam:ListGroupsForUser"]
ACTION_PATTERNS = ACTIONS + ["iam:*", "*", "iam:Get*", "iam:List*", "IAM:listuser*", "iam:*User*", "s3:*", "iam:List?serTags"]
KEYS = ["aws:PrincipalTag/team", "aws:PrincipalTag/level", "aws:PrincipalTag/absent"]


def some(rng, pool, most=3):
    chosen = rng.sample(pool, rng.randint(1, min(most, len(pool))))
    return chosen[0] if len(chosen) == 1 and rng.random() < 0.5 else chosen


def random_condition(rng):
    key = rng.choice(KEYS)
    operator = rng.choice(["StringEquals", "StringNotEquals", "StringLike", "StringNotLike",
                           "StringEqualsIfExists", "StringLikeIfExists", "Null", "NumericLessThan",
                           "ForAllValues:StringEquals", "ForAnyValue:StringLike"])
    if operator == "Null":
        return {operator: {key: rng.choice(["true", "false"])}}
    if operator == "NumericLessThan":
        return {operator: {"aws:PrincipalTag/level": str(rng.randint(0, 10))}}
    return {operator: {key: some(rng, ["blue", "red", "b*", "5", "?lue"])}}


def random_statement(rng, resources, deny=0.3):
    statement = {"Effect": "Deny" if rng.random() < deny else "Allow"}
    if rng.random() < 0.15:
        statement["NotAction"] = some(rng, ACTION_PATTERNS)
    else:
        statement["Action"] = some(rng, ACTION_PATTERNS)
    if rng.random() < 0.15:
        statement["NotResource"] = some(rng, resources)
    else:
        statement["Resource"] = some(rng, resources)
    if rng.random() < 0.4:
        statement["Condition"] = random_condition(rng)
    return statement


def random_policy(rng, resources, deny=0.3):
    statements = [random_statement(rng, resources, deny) for _ in range(rng.randint(1, 3))]
    return {"Version": "2012-10-17", "Statement": statements}


def random_case(seed, resources):
    """(identity policies, boundary or None, session policies or None, action)"""
    rng = random.Random(seed)
    identity = [random_policy(rng, resources) for _ in range(rng.randint(0, 3))]
    boundary = random_policy(rng, resources, deny=0.1) if rng.random() < 0.4 else None
    session = [random_policy(rng, resources, deny=0.1)] if rng.random() < 0.4 else None
    return identity, boundary, session, rng.choice(ACTIONS)
