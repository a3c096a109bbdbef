"""A contract of a third party: was a shipment of vaccine kept cold, and who says so?"""
