"""The glossary: terms and polysemes that domains declare, and the products that use them."""
