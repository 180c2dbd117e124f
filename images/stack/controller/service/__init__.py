"""The heart of the controller, without any input or output: from ordered services to devices' configurations.

``controller.intent`` is its door.
"""
