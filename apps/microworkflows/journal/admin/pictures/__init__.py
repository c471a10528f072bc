"""Pictures of a journey: time line, causation tree, sequence diagram and table, four views of the same data, without JavaScript."""
