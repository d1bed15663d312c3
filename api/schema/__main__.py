"""Print the schema: `python -m api.schema > docs/schema.graphql`."""

from api.schema import schema

print(schema.as_str())
