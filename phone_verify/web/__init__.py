"""What both adapters show: texts, style sheet, script, QR. Nothing here knows a framework."""
