"""A synthetic country and one campaign played through the product's own doors.

schools → population → exports make what schools, the population register and vendors would have; play is the campaign itself, and
runs nothing but `sluis`, SFTP and HTTPS.
"""
