"""What all parts agree on: names, columns, designs and the manifest."""
